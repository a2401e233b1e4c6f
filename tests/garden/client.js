// Node's HTTP client as one of the three. It reads lines of JSON, {"port": …, "numbers": [...]}, asks /NUMBER and then
// /sentinel/NUMBER on one kept connection, and answers with a list: [status, length, sha1, second] or [why it failed].
const http = require('http');
const crypto = require('crypto');
const readline = require('readline');

function get(port, path, agent) {
  return new Promise((resolve) => {
    const request = http.request({port, path, agent, host: '127.0.0.1', timeout: 700}, (response) => {
      const parts = [];
      response.on('data', (data) => parts.push(data));
      response.on('end', () => {
        const body = Buffer.concat(parts);
        if (!response.complete) return resolve(['cut']);
        resolve([response.statusCode, body.length, crypto.createHash('sha1').update(body).digest('hex'), request.reusedSocket]);
      });
      response.on('error', (error) => resolve([error.code === 'ECONNRESET' ? 'cut' : 'refused']));
    });
    request.on('upgrade', (response, socket) => { socket.destroy(); resolve(['refused']); });
    request.on('timeout', () => { request.destroy(); resolve(['waits']); });
    request.on('error', (error) => resolve([error.code === 'ECONNRESET' ? 'cut' : 'refused']));
    request.end();
  });
}

async function ask(port, number) {
  const agent = new http.Agent({keepAlive: true, maxSockets: 1});
  const first = await get(port, `/${number}`, agent);
  if (first.length > 1) {
    const second = await get(port, `/sentinel/${number}`, agent);
    first[3] = second[3] === false || second[0] === 'cut' ? 'anew' : second[1] === 8 ? 'sentinel' : 'other';
  }
  agent.destroy();
  return first;
}

async function main() {
  for await (const line of readline.createInterface({input: process.stdin})) {
    const {port, numbers} = JSON.parse(line);
    const answers = new Array(numbers.length);
    let next = 0;
    const lane = async () => { while (next < numbers.length) { const at = next++; answers[at] = await ask(port, numbers[at]); } };
    await Promise.all(Array.from({length: 16}, lane));
    console.log(JSON.stringify(answers));
  }
}

process.on('uncaughtException', () => {});
main();
