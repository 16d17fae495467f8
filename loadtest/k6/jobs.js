// Jobs for k6: k6 run -e AUDIO=talk.mp3 loadtest/k6/jobs.js
//
// Uploads the file and asks for the job until it has ended. RATE jobs a second (1), for DURATION (30s), at URL
// (http://127.0.0.1:8000), with API_KEY if there is one.

import { check, sleep } from 'k6';
import http from 'k6/http';
import { Rate, Trend } from 'k6/metrics';

const PATIENCE_MS = 120000;

const file = http.file(open(__ENV.AUDIO, 'b'), __ENV.AUDIO.split('/').pop());
const jobs = `${__ENV.URL || 'http://127.0.0.1:8000'}/v1/audio/transcriptions`;
const headers = __ENV.API_KEY ? { Authorization: `Bearer ${__ENV.API_KEY}` } : {};

const completed = new Trend('job_completed', true);
const good = new Rate('jobs_completed_well');

export const options = {
  scenarios: {
    jobs: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 1),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: 50,
      maxVUs: 2000,
    },
  },
  thresholds: { jobs_completed_well: ['rate==1'], 'http_req_duration{name:submit}': ['p(99)<500'] },
};

export default function () {
  const began = Date.now();
  const made = http.post(jobs, { file }, { headers, tags: { name: 'submit' } });
  if (!check(made, { accepted: (answer) => answer.status === 202 || answer.status === 201 })) {
    good.add(false);
    return;
  }
  const id = made.json('id');
  for (;;) {
    const job = http.get(`${jobs}/${id}`, { headers, tags: { name: 'job' } });
    const status = job.json('status');
    if (['completed', 'failed', 'cancelled'].includes(status) || Date.now() - began > PATIENCE_MS) {
      completed.add(Date.now() - began);
      good.add(status === 'completed');
      return;
    }
    sleep(0.25);
  }
}
