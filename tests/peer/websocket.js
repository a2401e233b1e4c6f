// A WebSocket echo and its client with the library ws: `websocket.js serve PORT`, `websocket.js ask URL`. What the client
// asks is what websocket_ends.py asks: texts and binaries of many sizes, fragments, pings, an orderly close with its code.
const {WebSocket, WebSocketServer} = require('ws');
const crypto = require('crypto');
const [, , verb, argument] = process.argv;
const SIZES = [0, 1, 125, 126, 65535, 65536, 1000000];

function serve(port) {
  const server = new WebSocketServer({port, host: '::', maxPayload: 1 << 26});
  server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, {binary})));
}

// The next message, as [data, whether it was binary].
function next(socket) {
  return new Promise((resolve, reject) => {
    socket.once('message', (data, binary) => resolve([data, binary]));
    socket.once('close', (code) => reject(new Error(`closed with ${code}`)));
  });
}

function check(right, what) {
  if (!right) throw new Error(what);
}

async function echoes(socket, data) {
  const answer = next(socket);
  socket.send(data);
  const [said, binary] = await answer;
  check(binary === (typeof data !== 'string') && Buffer.compare(said, Buffer.from(data)) === 0, `${data.length} bytes differ`);
}

async function ask(url) {
  const socket = new WebSocket(url, {perMessageDeflate: false, maxPayload: 1 << 26});
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  for (const size of SIZES) {
    await echoes(socket, 'é'.repeat(size));
    await echoes(socket, crypto.randomBytes(size));
  }
  const whole = next(socket);
  for (let part = 0; part < 10; part++) socket.send(`part ${part};`, {fin: part === 9});
  check((await whole)[0].toString().endsWith('part 9;'), 'fragments');
  const pong = new Promise((resolve) => socket.once('pong', resolve));
  socket.ping('are you there');
  check((await pong).toString() === 'are you there', 'pong');
  const all = new Promise((resolve) => {
    let count = 0;
    socket.on('message', (data) => { check(data.toString() === String(count++), 'order'); if (count === 1000) resolve(); });
  });
  for (let number = 0; number < 1000; number++) socket.send(String(number));
  await all;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.close(4321, 'enough');
  check(await closed === 4321, 'the code of the close');
  console.log('ok');
}

if (verb === 'serve') serve(Number(argument));
else ask(argument).catch((error) => { console.error(error); process.exit(1); });
