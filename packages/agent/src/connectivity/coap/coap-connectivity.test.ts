import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  blockOf,
  blockOption,
  coapDigest,
  coapKey,
  type CoapMessage,
  coapOption,
  coapProof,
  emptyCoap,
  type LeonoreError,
  optionOf,
} from '@leonore/protocol';
import { feedback } from '../feedback.ts';
import { isPassing, retryAfterMs } from '../http/answers.ts';
import type { CoapQuestion } from './coap-client.ts';
import { createCoapConnectivity } from './coap-connectivity.ts';

const SECRET = 'ab'.repeat(32);
const REPORT = feedback('closed', 'success', { details: Array.from({ length: 30 }, () => 'x'.repeat(100)) });
const LINK = 'http://node/DEFAULT/controller/v1/gw-1/softwaremodules/7/artifacts/p%201.tar.zst';

type Reply = Partial<Pick<CoapMessage, 'code' | 'options'>> & { readonly payload?: Buffer | string };

/** A server of one answer after the other, behind the nonces of a real one. */
function bench(answer: (question: CoapQuestion) => Reply) {
  const state = { nonce: 'n1', nonces: 0, renewed: 0 };
  const asked: CoapQuestion[] = [];
  const reply = ({ code = '2.05', options = [], payload = '' }: Reply): CoapMessage => ({
    ...emptyCoap('ack', 1),
    code,
    options,
    payload: Buffer.from(payload),
  });
  const ask = async (question: CoapQuestion): Promise<CoapMessage> => {
    const { method, path, query = [] } = question;
    if (path.at(-1) === 'nonce') {
      state.nonces += 1;
      return reply({ payload: state.nonce });
    }
    const proven = query.filter((text) => !text.startsWith('proof='));
    const proof = coapProof(coapKey(SECRET), method, path, proven);
    const isKnown = proven.includes(`nonce=${state.nonce}`) && query.includes(`proof=${proof}`);
    if (!isKnown) return reply({ code: '4.01', payload: 'auth.wrong: old nonce' });
    asked.push(question);
    return reply(answer(question));
  };
  const gateway = { tenant: 'default', id: 'gw-1', secret: SECRET };
  const coap = createCoapConnectivity({ gateway, client: { ask }, onNewNonce: () => void (state.renewed += 1) });
  return { coap, asked, state };
}

/** Serves `content` by blocks, with the tag that `tag` gives. */
function blockwise(content: Buffer, tag: () => Buffer, question: CoapQuestion): Reply {
  const block = blockOf({ options: question.options ?? [] }, 'Block2') ?? { num: 0, size: 1024 };
  assert.ok(block !== 'malformed');
  const end = (block.num + 1) * block.size;
  const options = [
    coapOption('ETag', tag()),
    coapOption('Size2', content.length),
    blockOption('Block2', { num: block.num, size: block.size, more: end < content.length }),
  ];
  return { options, payload: content.subarray(block.num * block.size, end) };
}

void test('a nonce is used until it is old, then another one, and who is a stranger with that is told', async () => {
  const { coap, state } = bench(() => ({ payload: '{}' }));
  await coap.task({});
  await coap.task({});
  assert.deepEqual(state, { nonce: 'n1', nonces: 1, renewed: 0 });
  state.nonce = 'n2';
  await coap.task({});
  assert.deepEqual(state, { nonce: 'n2', nonces: 2, renewed: 1 });
  const stranger = bench(() => ({ code: '4.01', payload: 'auth.wrong: no' })).coap;
  await assert.rejects(
    stranger.task({}),
    (error: LeonoreError) => error.code === 'auth.wrong' && error.details['httpStatus'] === 401,
  );
});

void test('a long report goes in blocks, smaller where they are wanted so, and again where they got lost', async () => {
  let body = Buffer.alloc(0);
  let losses = 1;
  const { coap, asked } = bench(({ options = [], payload = Buffer.alloc(0), query = [] }) => {
    const block = blockOf({ options }, 'Block1');
    assert.ok(block && block !== 'malformed');
    if (block.num === 0) body = Buffer.alloc(0);
    if (block.num * block.size !== body.length || (body.length > 1500 && losses-- > 0)) return { code: '4.08' };
    body = Buffer.concat([body, payload]);
    if (block.more) return { code: '2.31', options: [blockOption('Block1', { ...block, size: 256 })] };
    assert.ok(query.includes(`sha256=${coapDigest(body)}`));
    return { code: '2.04' };
  });
  assert.equal(await coap.report('7', REPORT), 'accepted');
  assert.deepEqual(JSON.parse(body.toString()), JSON.parse(JSON.stringify(REPORT)));
  assert.ok(losses < 0 && asked.length > 10);
});

void test('a task that changes while it is read is read again', async () => {
  const contents = [Buffer.from(`{"id":"1${' '.repeat(2000)}"}`), Buffer.from(`{"id":"2${' '.repeat(2000)}"}`)];
  let now = 0;
  const tag = () => Buffer.of(now);
  const { coap, asked } = bench((question) => {
    if (asked.length === 2) now = 1;
    return blockwise(contents[now] ?? Buffer.alloc(0), tag, question);
  });
  const { document, etag } = await coap.task({});
  assert.equal((document as { id: string }).id.trim(), '2');
  assert.deepEqual(etag, Buffer.of(1));
});

void test('what is known already does not come again', async () => {
  const { coap, asked } = bench(() => ({ code: '2.03', options: [coapOption('ETag', Buffer.of(9))] }));
  const { document } = await coap.task({ etag: Buffer.of(9) });
  assert.equal(document, undefined);
  assert.deepEqual(optionOf({ options: asked[0]?.options ?? [] }, 'ETag'), Buffer.of(9));
});

void test('any bytes of a package can be had, and are those of one package', async () => {
  const content = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));
  const sha1 = createHash('sha1').update(content).digest();
  let tag = sha1.subarray(0, 8);
  const { coap, asked } = bench((question) => blockwise(content, () => tag, question));
  const bytes = async (range: Parameters<typeof coap.download>[1]): Promise<Buffer> => {
    const answer = await coap.download(LINK, range);
    assert.deepEqual([answer.offset, answer.total], [range?.offset ?? 0, 5000]);
    return Buffer.concat(await Array.fromAsync(answer.body));
  };
  assert.deepEqual(await bytes({}), content);
  assert.deepEqual(asked[0]?.path.slice(-3), ['package', '7', 'p 1.tar.zst']);
  for (const [offset, end] of [
    [0, 1],
    [1023, 1025],
    [1500, 4200],
    [4999, 5000],
    [3000, undefined],
  ] as const) {
    assert.deepEqual(await bytes({ offset, end }), content.subarray(offset, end));
  }
  const known = `"${sha1.toString('hex')}"`;
  assert.equal((await coap.download(LINK, { etag: known })).etag, known, 'as HTTP names it');
  assert.equal((await coap.download(LINK, { etag: '"other"' })).etag, `"${tag.toString('hex')}"`);
  const answer = await coap.download(LINK);
  tag = Buffer.alloc(8);
  await assert.rejects(Array.fromAsync(answer.body), { code: 'agent.download' });
  await assert.rejects(coap.download('http://elsewhere/file'), (error) => isPassing(error));
  await assert.rejects(coap.download(LINK, { offset: 2 ** 31 }), (error) => isPassing(error));
});

void test('refusals keep their meaning', async () => {
  let refusal: Reply = {};
  const { coap } = bench(() => refusal);
  for (const [code, words, outcome] of [
    ['4.04', 'task.closed: it has ended', 'gone'],
    ['4.04', 'task.unknown: there is none', 'unknown'],
    ['2.04', '', 'accepted'],
  ] as const) {
    refusal = { code, payload: words };
    assert.equal(await coap.report('7', feedback('proceeding', 'none')), outcome);
  }
  refusal = { code: '5.03', options: [coapOption('Max-Age', 20)], payload: 'server.stopping: wait' };
  await assert.rejects(
    coap.putProfile({}),
    (error: LeonoreError) => isPassing(error) && retryAfterMs(error) === 20_000 && error.code === 'server.stopping',
  );
  refusal = { code: '4.09', payload: 'profile.base: another one' };
  await assert.rejects(coap.patchProfile({}), { code: 'profile.base' });
  refusal = { code: '5.00', payload: Buffer.from([0xff, 0xfe]) };
  await assert.rejects(coap.patchProfile({}), (error) => isPassing(error));
  refusal = { code: '2.05', payload: 'no json' };
  await assert.rejects(coap.task({}), { code: 'request.json' });
});
