/** Archives that somebody made to do harm, all with the right digests: what is refused is refused for what it holds. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ENCODINGS, isLeonoreError, type ErrorCode, type FileEntry } from '@leonore/protocol';
import { inspectSegment, unpackPackage } from './mod.ts';
import { packageAround, piecewise, SVM } from './testing/packages.ts';
import { compressRaw, fileEntry, rawEntry, rawFile, rawFolder, rawPax, type RawEntry } from './testing/raw-tar.ts';
import { describeTree, testFolder } from './testing/trees.ts';

const folder = testFolder();
const ROOT = rawFolder('binary/svm');
const EVIL = 'binary/svm/evil';

interface Case {
  readonly title: string;
  /** Behind the folder binary/svm/. */
  readonly entries: readonly Buffer[];
  readonly code: ErrorCode;
  readonly words: RegExp;
  readonly files?: readonly FileEntry[];
}

const odd = (title: string, fields: Partial<RawEntry>, words: RegExp, code: ErrorCode = 'archive.hostile'): Case => ({
  title,
  entries: [rawEntry({ name: EVIL, ...fields })],
  code,
  words,
});
const longName = `binary/svm/${'n'.repeat(200)}`;
const longHeader = rawFile(longName.slice(0, 100));

const CASES: readonly Case[] = [
  odd('a path that leads out', { name: '../evil' }, /"\.\.\/evil" has a "\." or "\.\." part/),
  odd(
    '.. inside of a path',
    { name: 'binary/svm/../../../evil' },
    /"binary\/svm\/\.\.\/\.\.\/\.\.\/evil" has a "\." or "\.\." part/,
  ),
  odd('. inside of a path', { name: 'binary/svm/./evil' }, /"binary\/svm\/\.\/evil" has a "\." or/),
  odd('an absolute path', { name: '/tmp/evil' }, /"\/tmp\/evil" is an absolute path/),
  odd('an empty part', { name: 'binary/svm//evil' }, /has an empty part/),
  odd('no name', { name: '' }, /"" has no name/),
  odd(
    '.. through the prefix field',
    { name: 'evil', prefix: 'binary/svm/..' },
    /has a "\." or "\.\." part|in the field "name"/,
  ),
  odd('a path of another component', { name: 'binary/other/evil' }, /"binary\/other\/evil" lies outside/),
  odd('a name that only begins like the component', { name: 'binary/svm2/evil' }, /lies outside/),
  odd('a file beside the folders', { name: 'manifest.json' }, /"manifest.json" lies outside/),
  odd('NUL in a name', { name: 'binary/svm/a\0b' }, /"binary\/svm\/a\\u0000b" has a NUL/),
  odd('a line break in a name', { name: 'binary/svm/a\nb' }, /control character/),
  odd(
    'an escape sequence in a name',
    { name: 'binary/svm/\u001b[31m' },
    /"binary\/svm\/\\u001b\[31m" has a control character/,
  ),
  odd('a backslash in a name', { name: 'binary/svm/..\\..\\evil' }, /backslash/),
  odd(
    'a name that is not UTF-8',
    { name: Buffer.concat([Buffer.from('binary/svm/'), Buffer.from([0xff, 0xfe])]) },
    /not UTF-8/,
  ),
  odd('a symbolic link', { typeflag: '2', linkname: '/etc/passwd' }, /"binary\/svm\/evil" is a symbolic link/),
  odd('a hard link', { typeflag: '1', linkname: '/etc/shadow' }, /"binary\/svm\/evil" is a hard link/),
  odd('a character device', { typeflag: '3' }, /"binary\/svm\/evil" is a character device/),
  odd('a block device', { typeflag: '4' }, /"binary\/svm\/evil" is a block device/),
  odd('a FIFO', { typeflag: '6' }, /"binary\/svm\/evil" is a FIFO/),
  odd('a contiguous file', { typeflag: '7' }, /"binary\/svm\/evil" is a contiguous file/),
  odd('a GNU sparse file', { typeflag: 'S' }, /"binary\/svm\/evil" is a GNU sparse file/),
  odd('a GNU long name', { typeflag: 'L', body: 'binary/svm/x\0' }, /is a GNU long name/),
  odd('a global PAX header', { typeflag: 'g', body: '9 uid=0\n' }, /is a global PAX header/),
  odd('a type nobody knows', { typeflag: '!' }, /is of the unknown type "!"/),
  odd('a file of an old tar', { typeflag: '\0' }, /is an entry of a tar older than POSIX/),
  odd('a base-256 size', { size: Buffer.from('80000000000000000000000f', 'hex') }, /"binary\/svm\/evil" has a binary/),
  odd(
    'a negative size',
    { size: Buffer.from('ffffffffffffffffffffffff', 'hex') },
    /"binary\/svm\/evil" has a binary .* negative number for its size/,
  ),
  odd('a size with a sign', { size: '-0000000001\0' }, /"binary\/svm\/evil" has "-0000000001\\u0000" for its size/),
  odd('a size with spaces', { size: '          1\0' }, /which is no octal number/),
  odd('a set-user-id mode', { mode: '0004755\0' }, /"binary\/svm\/evil" has the mode 4755/),
  odd('a set-group-id mode', { mode: '0002755\0' }, /has the mode 2755/),
  odd('a sticky mode', { mode: '0001755\0' }, /has the mode 1755/),
  odd('a mode for all to write', { mode: '0000777\0' }, /has the mode 777/),
  odd('a base-256 mode', { mode: Buffer.from('80000000000001ed', 'hex') }, /number for its mode/),
  odd('an owner', { uid: '0001750\0' }, /"binary\/svm\/evil" has something else in the field "uid"/),
  odd('an owner by name', { uname: 'daemon' }, /field "uname"/),
  odd('a time', { mtime: '14000000000\0' }, /field "mtime"/),
  odd('a link name on a file', { linkname: '/etc/passwd' }, /field "linkname"/),
  odd('a device number on a file', { devmajor: '0000001\0' }, /field "devmajor"/),
  odd('a GNU magic', { magic: 'ustar  \0' }, /field "magic"/),
  odd('no magic', { magic: Buffer.alloc(8) }, /field "magic"/),
  odd(
    'a folder with a size',
    { name: `${EVIL}/`, typeflag: '5', mode: '0000755\0', body: 'x' },
    /is a folder that has a size/,
  ),
  odd('a folder with the mode of a file', { name: `${EVIL}/`, typeflag: '5' }, /has the mode 644/),
  odd('a folder without a slash', { typeflag: '5', mode: '0000755\0' }, /without a slash/),
  odd('a file with a slash', { name: `${EVIL}/` }, /is a file with the name of a folder/),
  odd('the root as a file', { name: 'control/svm' }, /"control\/svm" is a file where a folder must be/),
  odd('a wrong checksum', { checksumOffBy: 1 }, /"binary\/svm\/evil" .* wrong checksum/, 'archive.corrupt'),
  {
    title: 'bytes in the padding',
    entries: [rawEntry({ name: EVIL, body: 'x', padding: 0x61 })],
    files: [fileEntry(EVIL)],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil" is followed by bytes/,
  },
  {
    title: 'the same file twice',
    entries: [rawFile(EVIL), rawFile(EVIL)],
    files: [fileEntry(EVIL)],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil" is there twice/,
  },
  {
    title: 'the same file twice with something between',
    entries: [rawFile(EVIL), rawFile('binary/svm/f'), rawFile(EVIL, 'y')],
    files: [fileEntry(EVIL), fileEntry('binary/svm/f')],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil" is there twice/,
  },
  {
    title: 'a folder where a file is',
    entries: [rawFile(EVIL), rawFolder(EVIL)],
    files: [fileEntry(EVIL)],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil" is there twice/,
  },
  {
    title: 'a file as the parent of another',
    entries: [rawFile(EVIL), rawFile(`${EVIL}/child`)],
    files: [fileEntry(EVIL), fileEntry(`${EVIL}/child`)],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil\/child" lies in "binary\/svm\/evil", which is a file/,
  },
  {
    title: 'names that differ in case only',
    entries: [rawFile('binary/svm/EVIL'), rawFile(EVIL)],
    files: [fileEntry('binary/svm/EVIL')],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil" differs from "binary\/svm\/EVIL" only in upper and lower case/,
  },
  {
    title: 'a file without its folder',
    entries: [rawFile(`${EVIL}/child`)],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil\/child" comes without its folder/,
  },
  {
    title: 'names out of order',
    entries: [rawFile('binary/svm/z'), rawFile('binary/svm/a')],
    files: [fileEntry('binary/svm/z')],
    code: 'archive.hostile',
    words: /"binary\/svm\/a" is not in the order/,
  },
  {
    title: 'end blocks inside of a segment',
    entries: [Buffer.alloc(1024), rawFile(EVIL)],
    code: 'archive.corrupt',
    words: /the segment of svm, after "binary\/svm", has an empty block/,
  },
  {
    title: 'a traversal through PAX',
    entries: [rawPax('path', '../../evil'), rawFile('binary/svm/fine')],
    code: 'archive.hostile',
    words: /"\.\.\/\.\.\/evil" has/,
  },
  {
    title: 'a long traversal through PAX',
    entries: [rawPax('path', `binary/svm/${'n'.repeat(150)}/../../../../evil`), longHeader],
    code: 'archive.hostile',
    words: /has something else in the field "name"|has a "\." or "\.\." part/,
  },
  {
    title: 'PAX for a name that needs none',
    entries: [rawPax('path', EVIL), rawFile(EVIL)],
    code: 'archive.hostile',
    words: /"binary\/svm\/evil" has its name in another form/,
  },
  {
    title: 'a PAX name and a different name behind it',
    entries: [rawPax('path', longName), rawFile('binary/svm/other')],
    code: 'archive.hostile',
    words: /field "name"/,
  },
  {
    title: 'a size through PAX',
    entries: [rawPax('size', '9999999999'), rawFile(EVIL)],
    code: 'archive.hostile',
    words: /holds a record "size"/,
  },
  {
    title: 'a link target through PAX',
    entries: [rawPax('linkpath', '/etc/passwd'), rawEntry({ name: EVIL, typeflag: '2' })],
    code: 'archive.hostile',
    words: /holds a record "linkpath"/,
  },
  {
    title: 'two records in one PAX header',
    entries: [
      rawEntry({ name: 'PaxHeaders/path', typeflag: 'x', body: `18 path=${'x'.repeat(9)}\n12 uid=1000\n` }),
      rawFile(EVIL),
    ],
    code: 'archive.hostile',
    words: /exactly one record "path"/,
  },
  {
    title: 'a PAX header of a megabyte',
    entries: [rawPax('path', 'x'.repeat(1_000_000)), rawFile(EVIL)],
    code: 'archive.hostile',
    words: /has 10000\d\d bytes; a path has at most/,
  },
  {
    title: 'a PAX header with a NUL in the path',
    entries: [rawPax('path', `${longName}\0`), longHeader],
    code: 'archive.hostile',
    words: /NUL/,
  },
  {
    title: 'two PAX headers',
    entries: [rawPax('path', longName), rawPax('path', longName), longHeader],
    code: 'archive.hostile',
    words: /is of the unknown type "x"/,
  },
  {
    title: 'a PAX header and nothing behind it',
    entries: [rawPax('path', longName)],
    code: 'archive.corrupt',
    words: /after the PAX header of ".*", is cut off/,
  },
  {
    title: 'a path that is too long',
    entries: [
      rawPax('path', `binary/svm/${'n/'.repeat(520)}n`),
      rawFile(`binary/svm/${'n/'.repeat(520)}`.slice(0, 100)),
    ],
    code: 'archive.hostile',
    words: /a path of more than 1024 bytes/,
  },
  {
    title: 'a name that no file system takes',
    entries: [rawPax('path', `binary/svm/${'n'.repeat(256)}`), rawFile(`binary/svm/${'n'.repeat(256)}`.slice(0, 100))],
    code: 'archive.hostile',
    words: /a name of more than 255 bytes/,
  },
];

describe('hostile segments are refused, and nothing of them stays', () => {
  for (const encoding of ENCODINGS) {
    for (const { title, entries, code, words, files = [] } of CASES) {
      const tar = Buffer.concat([ROOT, ...entries]);
      const refused = (error: unknown): boolean => {
        assert.ok(isLeonoreError(error), String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, words);
        return true;
      };

      it(`${title} (inspect, ${encoding})`, async () => {
        const source = piecewise(compressRaw(encoding, tar), 512);
        await assert.rejects(inspectSegment(source, { encoding, name: SVM }), refused);
        assert.ok(source.state.closed);
      });

      it(`${title} (unpack, ${encoding})`, async () => {
        const dir = await folder();
        await mkdir(join(dir, 'beside'));
        await writeFile(join(dir, 'beside', 'file'), 'untouched');
        const before = await describeTree(dir);
        const bad = packageAround(encoding, tar, files);
        const source = piecewise(bad.bytes, 512);
        await assert.rejects(
          unpackPackage(source, { ...bad, into: join(dir, 'a', 'staging'), durable: false }),
          refused,
        );
        const left = (await describeTree(dir)).filter((line) => line !== 'folder 755 a');
        assert.deepEqual(left, before);
        assert.ok(source.state.closed);
      });
    }
  }
});
