// The orders of the demo's shop: an ordinary Node HTTP server. Its pods differ by two variables: SLOW_MS delays every
// answer, and a FLAKY pod ends the connection of a request for /flaky instead of answering.
const http = require('http');
const {POD_NAME, SLOW_MS = '0', FLAKY} = process.env;

const server = http.createServer((request, response) => {
  if (FLAKY && request.url === '/flaky') return request.socket.destroy();
  let bytes = 0;
  request.on('data', (data) => { bytes += data.length; });
  request.on('end', () => setTimeout(() => {
    response.setHeader('Content-Type', 'text/plain');
    response.end(`${POD_NAME} took ${request.method} ${request.url} with ${bytes} bytes\n`);
  }, Number(SLOW_MS)));
});
server.keepAliveTimeout = 0;
server.listen(8080, '::');
