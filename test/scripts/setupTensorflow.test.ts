/** @file What `npm run setup:tensorflow` decides and checks before anything is downloaded or built; no network. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import { packageRoot } from '../../src/paths.js';

const load = (name: string) =>
  import(pathToFileURL(join(packageRoot(), 'scripts', 'tensorflow', `${name}.mjs`)).href);
const [options, source, wheel, staging, build, official] = await Promise.all(
  ['options', 'source', 'wheel', 'staging', 'build', 'official'].map(load),
);

const root = mkdtempSync(join(tmpdir(), 'xbm-setup-'));
after(() => rmSync(root, { recursive: true }));
let folders = 0;
/** A new folder with the given files; a file's content is its text. */
function folderWith(files: Record<string, string>): string {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

test('options: what is not understood is refused', () => {
  assert.equal(options.parseOptions([]).gpu, false);
  assert.ok(options.parseOptions(['--gpu', '--from', 'x']).from.endsWith(`${'x'}`));
  assert.throws(() => options.parseOptions(['--form', 'x']), /--form/);
  assert.throws(() => options.parseOptions(['--from']), /from/);
  assert.throws(() => options.parseOptions(['--from', 'x', '--wheel', 'y']), /exclude each other/);
});

test('sources: the official download first, pip where a wheel exists, a named source alone', () => {
  const kinds = (given: object, machine: object) =>
    source.chooseSources({ gpu: false, ...given }, machine).map(({ kind }: { kind: string }) => kind);
  const linux = { platform: 'linux', arch: 'x64' };
  assert.deepEqual(kinds({}, linux), ['official', 'pip']);
  assert.deepEqual(kinds({}, { platform: 'linux', arch: 'arm64' }), ['official', 'pip']);
  assert.deepEqual(kinds({ gpu: true }, { platform: 'linux', arch: 'arm64' }), ['official']);
  assert.deepEqual(kinds({}, { platform: 'darwin', arch: 'arm64' }), ['official']);
  const folder = folderWith({ 'tensorflow_cpu-2.21.0-x.whl': '' });
  assert.deepEqual(kinds({ from: folder }, linux), ['wheel']);
  assert.deepEqual(kinds({ wheel: join(folder, 'tensorflow_cpu-2.21.0-x.whl') }, linux), ['wheel']);
  assert.throws(() => kinds({ wheel: join(folder, 'none.whl') }, linux), /no such file/);
  const [cpu, gpu] = [false, true].map((is) => source.chooseSources({ gpu: is }, linux)[1].wheel);
  assert.equal(cpu.name, 'tensorflow-cpu');
  assert.equal(gpu.name, 'tensorflow');
  assert.ok(wheel.pipArguments(cpu, 'here').includes(`tensorflow-cpu==${wheel.release.version}`));
});

test('folders are told apart by what lies in them', () => {
  const header = { 'include/tensorflow/c/c_api.h': '' };
  const official = { 'lib/libtensorflow.so.2': '', 'lib/libtensorflow_framework.so.2': '' };
  const unpacked = { 'libtensorflow_cc.so.2': '', 'libtensorflow_framework.so.2': '' };
  const inTensorflow = Object.fromEntries(
    Object.entries({ ...unpacked, ...header }).map(([name, text]) => [`tensorflow/${name}`, text]),
  );
  const names = (folder: string) => {
    const found = source.sourceInFolder(folder);
    assert.equal(found.kind, 'libraries');
    return found.libraries.map((path: string) => path.slice(folder.length + 1));
  };
  assert.deepEqual(names(folderWith({ ...official, ...header })), Object.keys(official));
  assert.deepEqual(names(folderWith({ ...unpacked, ...header })), Object.keys(unpacked));
  assert.deepEqual(names(folderWith(inTensorflow))[0], 'tensorflow/libtensorflow_cc.so.2');
  const other = folderWith({ 'lib/napi-v8/tfjs_binding.node': '', 'deps/lib/x': '' });
  assert.deepEqual(source.sourceInFolder(other), { kind: 'package', folder: other });
  assert.throws(() => source.sourceInFolder(folderWith(official)), /found no TensorFlow library/);
  assert.throws(() => source.sourceInFolder(folderWith({})), /found no TensorFlow library/);
  assert.throws(() => source.sourceInFolder(join(root, 'none')), /no such folder/);
});

const contents = {
  'tensorflow/libtensorflow_cc.so.2': 'library '.repeat(9000),
  'tensorflow/libtensorflow_framework.so.2': 'framework',
  'tensorflow/include/tensorflow/c/c_api.h': '// header\n',
  'tensorflow/include/Eigen/unused.h': '// not needed\n',
};

test('a wheel gives its libraries and headers, checked against its RECORD', async () => {
  const path = writeWheel(contents);
  const target = folderWith({});
  assert.deepEqual(await wheel.unpackWheel(path, target), { version: '9.9.9' });
  const text = (name: string) => readFileSync(join(target, name), 'utf8');
  assert.equal(text('lib/libtensorflow_cc.so.2'), contents['tensorflow/libtensorflow_cc.so.2']);
  assert.equal(text('lib/libtensorflow_framework.so.2'), 'framework');
  assert.equal(text('include/tensorflow/c/c_api.h'), '// header\n');
  assert.ok(!existsSync(join(target, 'include/Eigen')));
});

test('a damaged, incomplete or foreign wheel is refused by name', async () => {
  const refused = (path: string, why: RegExp) => assert.rejects(wheel.unpackWheel(path, folderWith({})), why);
  const bytes = readFileSync(writeWheel(contents));
  const changed = (edit: (copy: Buffer) => Buffer) => {
    const path = join(folderWith({}), 'changed.whl');
    writeFileSync(path, edit(Buffer.from(bytes)));
    return path;
  };
  await refused(writeWheel(contents, { 'tensorflow/libtensorflow_framework.so.2': 'framewurk' }), /checksum/);
  await refused(writeWheel({ 'numpy/core.so': '' }), /holds no TensorFlow library/);
  await refused(
    changed((copy) => copy.subarray(0, copy.length >> 1)),
    /no zip directory/,
  );
  await refused(
    changed(() => Buffer.alloc(0)),
    /no zip directory/,
  );
  // A flipped byte in the packed data of the first file, behind its 30-byte header and its name.
  const inFirst = 30 + 'tensorflow/libtensorflow_cc.so.2'.length + 20;
  const flipped = changed((copy) => {
    copy[inFirst] ^= 0xff;
    return copy;
  });
  await refused(flipped, /damaged|checksum/);
});

test('a setup killed after any rename leaves a binding with its library, the old one until the last', () => {
  const isWhole = (folder: string) => {
    const binding = join(folder, 'lib/napi-v8/tfjs_binding.node');
    if (!existsSync(binding)) return 'none';
    const deps = readFileSync(binding, 'utf8');
    return existsSync(join(folder, 'deps', deps, 'library')) ? deps : 'broken';
  };
  const native = (deps: string) => ({
    'lib/napi-v8/tfjs_binding.node': deps,
    'lib/napi-v8/setup.json': '{}',
    [`deps/${deps}/library`]: 'x',
  });
  for (const old of ['old', null]) {
    for (let killedAfter = 0; ; killedAfter++) {
      const installed = folderWith(old ? native(old) : {});
      const staged = folderWith(native('new'));
      const steps: { from: string; to: string }[] = staging.takeoverSteps(staged, installed);
      for (const { from, to } of steps.slice(0, killedAfter)) {
        mkdirSync(dirname(to), { recursive: true });
        renameSync(from, to);
      }
      assert.equal(isWhole(installed), killedAfter < steps.length ? (old ?? 'none') : 'new');
      if (killedAfter === steps.length) break;
    }
  }
  const installed = folderWith(native('old'));
  staging.takeOver(folderWith(native('new')), installed);
  assert.equal(isWhole(installed), 'new');
  assert.ok(!existsSync(join(installed, 'deps/old')), 'the old library is removed');
  // The official download has a fixed folder name: while it replaces itself there is no binding, never a broken one.
  const again = folderWith(native('new'));
  const steps: { from: string; to: string }[] = staging.takeoverSteps(again, installed);
  for (const { from, to } of steps) {
    mkdirSync(dirname(to), { recursive: true });
    renameSync(from, to);
    assert.notEqual(isWhole(installed), 'broken');
  }
  assert.equal(isWhole(installed), 'new');
});

test('staging folders of setups that are gone are swept, those of running ones stay', () => {
  const folder = folderWith({ [`.setup-${process.pid}/x`]: '', '.setup-999999999/x': '', 'dist/x': '' });
  staging.sweepStaging(folder);
  assert.ok(existsSync(join(folder, `.setup-${process.pid}`)));
  assert.ok(!existsSync(join(folder, '.setup-999999999')));
  assert.ok(existsSync(join(folder, 'dist/x')));
});

test('an installation is verified file by file', async () => {
  const folder = folderWith({ 'lib/napi-v8/tfjs_binding.node': 'b', 'deps/new/library': 'library' });
  assert.deepEqual(await staging.verifyInstallation(folder), { manifest: null, problem: null });
  await staging.writeManifest(folder, { tensorflow: '2.21.0', from: 'a test' });
  const { manifest, problem } = await staging.verifyInstallation(folder);
  assert.equal(problem, null);
  assert.deepEqual(Object.keys(manifest.files), ['deps/new/library', 'lib/napi-v8/tfjs_binding.node']);
  writeFileSync(join(folder, 'deps/new/library'), 'librarY');
  assert.match((await staging.verifyInstallation(folder)).problem, /deps\/new\/library has changed/);
  rmSync(join(folder, 'deps/new/library'));
  assert.match((await staging.verifyInstallation(folder)).problem, /is missing/);
});

test('what the build lacks is named', () => {
  assert.deepEqual(
    build.missingTools(() => true, {}),
    [],
  );
  const missing = build.missingTools((command: string) => command === 'python3', {});
  assert.equal(missing.length, 2);
  assert.match(missing.join(), /C\+\+ compiler.*make/);
  assert.deepEqual(
    build.missingTools((command: string) => ['my-cxx', 'make', 'python'].includes(command), {
      CXX: 'my-cxx',
    }),
    [],
  );
});

test('node-gyp and headers: what npm names comes first, then beside node', () => {
  const [first] = build.nodeGypCandidates({ npm_config_node_gyp: '/a/node-gyp.js', PATH: '' }, '/n/bin/node');
  assert.equal(first, '/a/node-gyp.js');
  const beside = build.nodeGypCandidates({ PATH: '' }, '/n/bin/node')[0];
  assert.equal(beside, join('/n/lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'));
  const node = folderWith({ 'include/node/node_api.h': '', 'bin/node': '' });
  assert.equal(build.headerFolder({}, join(node, 'bin/node')), node);
  assert.equal(build.headerFolder({ npm_config_nodedir: node }, '/n/bin/node'), node);
  assert.equal(build.headerFolder({}, '/n/bin/node'), null);
});

test('the reason of a failed download is one line', () => {
  const log = [
    '* Downloading libtensorflow',
    'node:events:497',
    "      throw er; // Unhandled 'error' event",
    'Error: getaddrinfo ENOTFOUND some.host',
    '    at GetAddrInfoReqWrap.onlookup',
    'Node.js v20.20.2',
  ].join('\n');
  assert.equal(official.reasonIn(log), 'getaddrinfo ENOTFOUND some.host');
  assert.equal(official.reasonIn(''), 'no reason given');
});

/** A wheel with a RECORD of `files`, whose content may then be forged. */
function writeWheel(files: Record<string, string>, forged: Record<string, string> = {}): string {
  const record = Object.entries(files).map(([name, text]) => {
    const sha256 = createHash('sha256').update(text).digest('base64url');
    return `${name},sha256=${sha256},${text.length}`;
  });
  const all = { ...files, ...forged, 'tensorflow-9.9.9.dist-info/RECORD': `${record.join('\n')}\n` };
  const path = join(folderWith({}), 'tensorflow-9.9.9-cp311-cp311-any.whl');
  writeFileSync(path, zip(all));
  return path;
}

function zip(files: Record<string, string>): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, text] of Object.entries(files)) {
    const packed = deflateRawSync(text);
    const fields = Buffer.alloc(26); // version … extra length, shared by both headers
    fields.writeUInt16LE(8, 4);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(text.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), packed]);
    const tail = Buffer.alloc(14); // comment length … offset
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\0\0'), fields, tail, Buffer.from(name)]));
    locals.push(local);
    offset += local.length;
  }
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, ...directory, end]);
}
