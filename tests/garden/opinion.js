// What Node's HTTP server understood, said in the field X-Opinion: base64 of JSON with method, target, Host, length and
// SHA-1 of the body, in latin-1. A long target is cut and hashed. `opinion.js PORT`.
const http = require('http');
const crypto = require('crypto');

function shortened(text) {
  return text.length < 300 ? text : text.slice(0, 50) + crypto.createHash('sha1').update(text, 'latin1').digest('hex');
}

const server = http.createServer({keepAlive: true}, (request, response) => {
  const hash = crypto.createHash('sha1');
  let length = 0;
  request.on('data', (data) => { hash.update(data); length += data.length; });
  request.on('end', () => {
    const opinion = JSON.stringify([request.method, shortened(request.url), request.headers.host ?? '', length,
      length ? hash.digest('hex') : '']);
    response.setHeader('X-Opinion', Buffer.from(opinion, 'latin1').toString('base64'));
    response.setHeader('Content-Length', '0');
    response.sendDate = false;
    response.end();
  });
});
server.keepAliveTimeout = 30000;
server.maxHeadersCount = 0;
server.listen(Number(process.argv[2]), '127.0.0.1', 4096);
