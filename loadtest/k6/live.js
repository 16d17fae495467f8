// Live sessions for k6: k6 run -e AUDIO=talk.wav loadtest/k6/live.js
//
// Each session streams the file at the pace of life and ends with `end`. AUDIO is a WAV of 16 kHz, 16 bits, mono. RATE
// sessions begin a second (1), for DURATION (30s), at URL (ws://127.0.0.1:8000), with API_KEY if there is one.

import { check } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import ws from 'k6/ws';

const HEADER_BYTES = 44;
const BYTES_PER_MS = 32;
const FRAME_MS = 100;

const audio = open(__ENV.AUDIO, 'b').slice(HEADER_BYTES);
const url = `${__ENV.URL || 'ws://127.0.0.1:8000'}/v1/audio/transcriptions/stream?sample_rate=16000`;
const headers = __ENV.API_KEY ? { Authorization: `Bearer ${__ENV.API_KEY}` } : {};

const begin = new Trend('session_begin', true);
// From the audio's last byte to `session.end`.
const rest = new Trend('session_rest', true);
const finals = new Counter('finals');
const good = new Rate('sessions_ended_well');

export const options = {
  scenarios: {
    live: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 1),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: 50,
      maxVUs: 5000,
    },
  },
  thresholds: { sessions_ended_well: ['rate==1'], session_begin: ['p(99)<100'] },
};

export default function () {
  const connected = Date.now();
  let ended = false;
  let code = 0;
  const response = ws.connect(url, { headers }, (socket) => {
    let started = 0;
    let sent = 0;
    let done = 0;
    // What is due by the clock, so that a late timer sends more and the pace stays.
    const send = () => {
      if (!started || done) return;
      const due = Math.min(Math.floor((Date.now() - started) / FRAME_MS) * FRAME_MS * BYTES_PER_MS, audio.byteLength);
      if (due > sent) socket.sendBinary(audio.slice(sent, due));
      sent = Math.max(sent, due);
      if (sent === audio.byteLength) {
        done = Date.now();
        socket.send(JSON.stringify({ type: 'end' }));
      }
    };
    socket.on('message', (text) => {
      const event = JSON.parse(text);
      if (event.type === 'session.begin') {
        started = Date.now();
        begin.add(started - connected);
      } else if (event.type === 'transcript.final') {
        finals.add(1);
      } else if (event.type === 'session.end') {
        ended = true;
        rest.add(Date.now() - done);
      }
    });
    socket.on('close', (given) => {
      code = given;
    });
    socket.setInterval(send, FRAME_MS / 2);
    // A session that never ends is a fault, not a wait.
    socket.setTimeout(() => socket.close(), audio.byteLength / BYTES_PER_MS + 30000);
  });
  const fine = check(response, { upgraded: (given) => given && given.status === 101 }) && ended && code === 1000;
  good.add(fine);
}
