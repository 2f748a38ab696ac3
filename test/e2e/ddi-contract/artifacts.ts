/** Section 10: artifacts. */
import { CHUNKS } from './deployment.ts';
import { feedback, type Scenario, type Step } from './scenario.ts';

const FILE = '{id}/softwaremodules/{task}/artifacts/firmware.bin';
const FULL = {
  'content-type': 'application/octet-stream',
  'content-disposition': 'attachment;filename=firmware.bin',
  etag: '"{sha1}"',
  'accept-ranges': 'bytes',
  'last-modified': '~GMT$',
  'x-content-type-options': 'nosniff',
  'content-length': '{size}',
};

const get = (
  says: string,
  headers: Record<string, string>,
  status: number,
  answers: Record<string, string | null>,
  body?: unknown,
): Step => ({
  says,
  path: FILE,
  headers,
  status,
  answers,
  ...(body === undefined ? {} : { body }),
});
/** The file is the digits 0 to 9 over and over, 1000 bytes. */
const range = (asked: string, first: number, last: number, body: string): Step =>
  get(
    `Range: ${asked}`,
    { range: asked },
    206,
    { 'content-range': `bytes ${first}-${last}/1000`, 'content-length': String(last - first + 1) },
    body,
  );
const unsatisfiable = (asked: string): Step =>
  get(`Range: ${asked} is 416`, { range: asked }, 416, { 'content-range': 'bytes */1000' });
const digits = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => (from + i) % 10).join('');
const part = (first: number, last: number) =>
  `\r\n--THIS_STRING_SEPARATES_MULTIPART\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${first}-${last}/1000\r\n\r\n${digits(first, last)}`;
const END = '\r\n--THIS_STRING_SEPARATES_MULTIPART--\r\n';
const several = (asked: string, ...parts: string[]): Step => {
  const body = parts.join('') + END;
  const type = 'multipart/byteranges; boundary=THIS_STRING_SEPARATES_MULTIPART';
  return get(
    `Range: ${asked}`,
    { range: asked },
    206,
    { 'content-type': type, 'content-length': String(body.length), 'content-range': null },
    body,
  );
};

export const ARTIFACTS: readonly Scenario[] = [
  {
    name: 'artifacts',
    steps: [
      { operator: 'rollout' },
      { says: 'not before it was fetched', path: FILE, status: 404 },
      { says: 'the deployment', path: '{id}/deploymentBase/{task}', status: 200 },
      { says: 'the list', path: '{id}/softwaremodules/{task}/artifacts', status: 200, body: CHUNKS[0]?.artifacts },
      { says: 'of an unknown module', path: '{id}/softwaremodules/999999/artifacts', status: 404 },
      { says: 'an unknown file', path: '{id}/softwaremodules/{task}/artifacts/other.bin', status: 404 },
      { says: 'HEAD', path: FILE, method: 'HEAD', status: 200, answers: FULL, body: '' },
      { task: 'offered' },
      get('all of it', {}, 200, FULL, digits(0, 999)),
      { task: 'downloading' },
      {
        says: 'MD5SUM: two blanks, no newline',
        path: `${FILE}.MD5SUM`,
        status: 200,
        answers: {
          'content-type': '~^text/plain',
          'content-disposition': 'attachment;filename=firmware.bin.MD5SUM',
        },
        body: '{md5}  firmware.bin',
      },
      { says: 'HEAD of MD5SUM', path: `${FILE}.MD5SUM`, method: 'HEAD', status: 200, body: '' },
      range('bytes=0-9', 0, 9, digits(0, 9)),
      range('bytes=990-', 990, 999, digits(990, 999)),
      range('bytes=-5', 995, 999, digits(995, 999)),
      range('bytes=995-2000', 995, 999, digits(995, 999)),
      range('bytes=0-', 0, 999, digits(0, 999)),
      several('bytes=0-1,10-12', part(0, 1), part(10, 12)),
      several('bytes=-2,0-0,500-500', part(0, 0), part(500, 500), part(998, 999)),
      unsatisfiable('bytes=1000-'),
      unsatisfiable('bytes=9-3'),
      unsatisfiable('bytes=a-b'),
      unsatisfiable('bytes=-'),
      unsatisfiable('bytes='),
      unsatisfiable('lines=0-1'),
      unsatisfiable('bytes=0-5,5-9'),
      unsatisfiable('bytes=0-5,1000-'),
      get('If-Range with its tag', { range: 'bytes=0-1', 'if-range': '"{sha1}"' }, 206, {}),
      get('If-Range with another', { range: 'bytes=0-1', 'if-range': '"other"' }, 200, FULL),
      get(
        'If-Range with an older date',
        { range: 'bytes=0-1', 'if-range': 'Sun, 22 Nov 2020 10:00:00 GMT' },
        200,
        FULL,
      ),
      get('If-Range with its date', { range: 'bytes=0-1', 'if-range': '{lastModified}' }, 206, {}),
      get('If-Match with the bare digest', { 'if-match': '{sha1}' }, 200, FULL),
      get('If-Match with *', { 'if-match': '*' }, 200, FULL),
      get('If-Match with another', { 'if-match': 'other' }, 412, {}),
      get('If-None-Match with its tag', { 'if-none-match': '"{sha1}"' }, 304, { etag: '"{sha1}"' }, ''),
      get('a credential is needed', { authorization: 'TargetToken other' }, 401, {}),
      {
        says: 'HEAD of a range',
        path: FILE,
        method: 'HEAD',
        headers: { range: 'bytes=0-9' },
        status: 206,
        answers: { 'content-length': '10' },
        body: '',
      },
      {
        says: 'it is closed',
        path: '{id}/deploymentBase/{task}/feedback',
        method: 'POST',
        json: feedback('closed', 'success'),
        status: 200,
      },
      { says: 'no bytes of what is closed', path: FILE, status: 404 },
      {
        says: 'the list of what is installed',
        path: '{id}/softwaremodules/{task}/artifacts',
        status: 200,
        body: CHUNKS[0]?.artifacts,
      },
    ],
  },
];
