import assert from 'node:assert/strict';
import { copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import onnxProto from 'onnx-proto';
import { comparisonText } from '../../src/cli/export.js';
import { main } from '../../src/cli/main.js';
import { ExitCode } from '../../src/errors.js';
import { fakeIo } from './fakeIo.js';
import { writeBackbone, writeSmallTask } from './smallTask.js';

describe('xbm export', () => {
  let folder: string;
  const run = (method: string) => join(folder, `run-${method}`);

  async function xbm(...args: string[]) {
    const io = fakeIo({ cwd: folder });
    const exitCode = await main(args, io);
    const lastLine = io.out().trim().split('\n').at(-1) ?? '';
    return { exitCode, out: io.out(), err: io.err(), json: () => JSON.parse(lastLine) };
  }

  /** metadata_props of an ONNX file, with its opset. */
  function metadata(name: string): Record<string, string> {
    const model = onnxProto.onnx.ModelProto.decode(readFileSync(join(folder, name)));
    const opset = model.opsetImport.find(({ domain }) => !domain)?.version;
    const properties = model.metadataProps.map(({ key, value }) => [key, value]);
    return { ...Object.fromEntries(properties), importedOpset: String(opset) };
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xbm-export-'));
    const config = await writeSmallTask(folder);
    for (const method of ['xbm', 'finetune', 'classifier']) {
      const name = method === 'xbm' ? 'small' : `small-${method}`;
      const train = ['train', config, '--method', method, '--out', run(method), '--set', `name=${name}`];
      train.push('--set', 'training.epochs=1');
      const { exitCode, err } = await xbm(...train);
      assert.equal(exitCode, ExitCode.ok, err);
    }
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const method of ['xbm', 'finetune', 'classifier']) {
    for (const precision of ['int8', 'float']) {
      test(`a ${method} run as ${precision}, checked against the engine`, async () => {
        const out = `${method}-${precision}.onnx`;
        const args = ['--run', run(method), '--out', out, '--precision', precision, '--json'];
        const { exitCode, err, json } = await xbm('export', ...args);
        assert.equal(exitCode, ExitCode.ok, err);
        const result = json();
        assert.equal(result.bytes, readFileSync(join(folder, out)).length);
        assert.equal(result.check[0].otherClass, 0);
        assert.ok(result.check[0].largestDifference < 0.1, JSON.stringify(result));
        if (precision === 'int8') assert.equal(result.requantizations.float, 0);
      });
    }
  }

  test('the file says what it is and what it takes', async () => {
    const { exitCode, out, err } = await xbm('export', '--run', run('xbm'), '--out', 'described.onnx');
    assert.equal(exitCode, ExitCode.ok, err);
    assert.match(
      out,
      /described\.onnx: [\d.]+ kB, int8\ntask 0: small \(xbm, 3 classes\): logits of the median image [\d.e-]+ % off/,
    );
    const found = metadata('described.onnx');
    assert.equal(found.precision, 'int8');
    assert.equal(found.opset, found.importedOpset);
    assert.match(found.backboneSha256, /^[0-9a-f]{64}$/);
    const [task] = JSON.parse(found.tasks);
    assert.deepEqual(task.classes, ['blue', 'green', 'red']);
    assert.match(task.configHash, /^[0-9a-f]+$/);
    assert.deepEqual(task.preparation, {
      boundingBox: false,
      resize: { kind: 'square', size: 8 },
      centerCrop: null,
      filter: 'bilinear, antialiased',
    });
    assert.deepEqual(JSON.parse(found.normalization).mean.length, 3);
    assert.match(JSON.parse(found.input).pixels, /^uint8 \[batch, 8, 8, 3\]/);
  });

  test('the cost model reads the float form, and says what to do with the other', async () => {
    for (const precision of ['int8', 'float']) {
      const file = `${precision}-priced.onnx`;
      await xbm('export', '--run', run('xbm'), '--out', file, '--precision', precision);
      const priced = await xbm('hw-report', '--onnx', file);
      if (precision === 'float') assert.equal(priced.exitCode, ExitCode.ok, priced.err);
      else
        assert.match(
          priced.err,
          /int8-priced\.onnx: is an int8 export of xbm.*\nPrice the run itself with --run/,
        );
    }
  });

  test('several tasks in one model', async () => {
    const args = ['--run', run('xbm'), '--run', run('classifier'), '--out', 'two.onnx', '--json'];
    const { exitCode, err, json } = await xbm('export', ...args);
    assert.equal(exitCode, ExitCode.ok, err);
    assert.deepEqual(
      json().tasks.map(({ method }: { method: string }) => method),
      ['xbm', 'classifier'],
    );
    assert.ok(json().check.every(({ otherClass }: { otherClass: number }) => otherClass === 0));
    assert.equal(JSON.parse(metadata('two.onnx').tasks).length, 2);
    const refused = await xbm('export', '--run', run('xbm'), '--run', run('finetune'), '--out', 'no.onnx');
    assert.equal(refused.exitCode, ExitCode.usage);
    assert.match(refused.err, /method finetune has weights of its own/);
    assert.equal(existsSync(join(folder, 'no.onnx')), false);
  });

  test('tasks are in the order of the command line, each under a name of its own', async () => {
    copyFileSync(join(run('xbm'), 'task.safetensors'), join(folder, 'moved.safetensors'));
    const args = ['--file', 'moved.safetensors', '--run', run('classifier'), '--task', 'small'];
    const copy = join(folder, 'results', 'runs', 'xbm');
    cpSync(run('xbm'), copy, { recursive: true });
    const { exitCode, err, json } = await xbm('export', ...args, '--out', 'mixed.onnx', '--json');
    rmSync(join(folder, 'results'), { recursive: true });
    assert.equal(exitCode, ExitCode.ok, err);
    const names = ['moved', 'small-classifier', 'small'];
    const named = ({ name }: { name: string }) => name;
    assert.deepEqual(json().tasks.map(named), names);
    assert.deepEqual(JSON.parse(metadata('mixed.onnx').tasks).map(named), names);
    const twice = await xbm('export', '--run', run('xbm'), '--run', run('xbm'), '--out', 'twice.onnx');
    assert.equal(twice.exitCode, ExitCode.usage);
    assert.match(twice.err, /two tasks are named small: .*\nName each task once; .* --set name=/);
    assert.equal(existsSync(join(folder, 'twice.onnx')), false);
  });

  test('neither its inputs nor other kinds of files are replaced', async () => {
    const task = join(run('xbm'), 'task.safetensors');
    const was = readFileSync(task, 'hex');
    const ending = await xbm('export', '--run', run('xbm'), '--out', task);
    assert.equal(ending.exitCode, ExitCode.usage);
    assert.match(ending.err, /--out .*task\.safetensors: expected a file that ends in \.onnx/);
    symlinkSync(task, join(folder, 'link.onnx'));
    const linked = await xbm('export', '--run', run('xbm'), '--out', 'link.onnx');
    assert.equal(linked.exitCode, ExitCode.usage);
    assert.match(linked.err, /link\.onnx is an input of this export: .*task\.safetensors/);
    assert.equal(readFileSync(task, 'hex'), was);
    symlinkSync('loop.onnx', join(folder, 'loop.onnx'));
    const loop = await xbm('export', '--run', run('xbm'), '--out', 'loop.onnx', '--no-check');
    assert.match(loop.err, /loop\.onnx: cannot be written \(ELOOP\)/);
    copyFileSync(join(folder, 'backbone.safetensors'), join(folder, 'backbone.onnx'));
    const args = ['--run', run('xbm'), '--backbone', 'backbone.onnx', '--out', 'backbone.onnx'];
    const backbone = await xbm('export', ...args);
    assert.equal(backbone.exitCode, ExitCode.usage);
    assert.match(backbone.err, /backbone\.onnx is an input of this export/);
    assert.deepEqual(
      readFileSync(join(folder, 'backbone.onnx')),
      readFileSync(join(folder, 'backbone.safetensors')),
    );
  });

  test('a backbone that is not there: what the store has, and how to get one', async () => {
    const args = ['export', '--run', run('xbm'), '--out', 'no.onnx', '--backbone'];
    const { exitCode, err } = await xbm(...args, 'nosuch');
    assert.equal(exitCode, ExitCode.usage);
    assert.match(
      err,
      /no backbone named "nosuch" in the store; .*\nImport one .*, or set --backbone to a file/,
    );
    assert.match((await xbm(...args, 'no/such')).err, /no\/such: no such file\nCheck --backbone\./);
  });

  test('a check says the median, the worst and the changed classes', () => {
    const text = comparisonText({ images: 4, medianDifference: 0.001, largestDifference: 59, otherClass: 1 });
    assert.match(
      text,
      /median image 0\.0010 % off the engine's, of the worst 59 %; 1 of 4 images change class/,
    );
  });

  test('a task file alone needs its backbone named, and the right one', async () => {
    copyFileSync(join(run('xbm'), 'task.safetensors'), join(folder, 'alone.safetensors'));
    const missing = await xbm('export', '--file', 'alone.safetensors', '--out', 'alone.onnx');
    assert.equal(missing.exitCode, ExitCode.usage);
    assert.match(missing.err, /no backbone with SHA-256/);
    const given = ['export', '--file', 'alone.safetensors', '--out', 'alone.onnx', '--backbone'];
    await writeBackbone(join(folder, 'other.safetensors'), 2);
    const wrong = await xbm(...given, 'other.safetensors');
    assert.equal(wrong.exitCode, ExitCode.usage);
    assert.match(wrong.err, /the task was trained on backbone/);
    const right = await xbm(...given, 'backbone.safetensors');
    assert.equal(right.exitCode, ExitCode.ok, right.err);
    assert.match(right.err, /does not say how to resize images/);
    assert.equal(JSON.parse(metadata('alone.onnx').tasks)[0].preparation, null);
  });

  test('unknown precisions are refused', async () => {
    const { exitCode, err } = await xbm(
      'export',
      '--run',
      run('xbm'),
      '--out',
      'x.onnx',
      '--precision',
      'int4',
    );
    assert.equal(exitCode, ExitCode.usage);
    assert.match(err, /--precision int4: expected int8 or float/);
  });
});
