import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitOptions } from './limits.ts';

const hosts = (...allowHost: string[]) => limitOptions({ allowHost, allowInstallPath: [] }).allowHosts;
const folders = (...allowInstallPath: string[]) => limitOptions({ allowHost: [], allowInstallPath }).allowInstallPaths;

void test('a host with or without a port, whatever its form', () => {
  assert.deepEqual(hosts('CDN.example', 'cdn.example:443', '10.0.0.1:80', '[::1]:8080', '[::1]'), [
    'cdn.example',
    'cdn.example:443',
    '10.0.0.1:80',
    '[::1]:8080',
    '[::1]',
  ]);
  for (const wrong of [
    'http://cdn.example',
    'cdn.example/p',
    '',
    'a b',
    'user@cdn.example',
    'cdn.example:99999',
    '::1',
  ]) {
    assert.throws(() => hosts(wrong), /--allow-host .*reads like packages\.example/, wrong);
  }
});

void test('a folder, absolute and without steps up', () => {
  assert.deepEqual(folders('/home/apps/', '/', '/data'), ['/home/apps', '/', '/data']);
  for (const wrong of ['home', '', '/opt/../etc', '/a//b', './x']) {
    assert.throws(() => folders(wrong), /--allow-install-path .*absolute path/, wrong);
  }
});

void test('nothing said, nothing allowed beside what always is', () => {
  assert.deepEqual(limitOptions({ allowHost: [], allowInstallPath: [] }), {});
});
