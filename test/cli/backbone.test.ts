import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { defaults } from '../../src/cli/backbone.js';
import { findImages, findLabelled } from '../../src/cli/backboneImages.js';
import { main } from '../../src/cli/main.js';
import { bestCalibration } from '../../src/model/calibrate.js';
import { readSafetensors, writeSafetensors } from '../../src/model/safetensors.js';
import { loadBackbone, saveBackbone } from '../../src/model/store.js';
import { wilsonInterval } from '../../src/model/wilson.js';
import { hash32 } from '../../src/random.js';
import { randomBackbone } from '../model/fixtures.js';
import { fakeIo } from './fakeIo.js';

let folder: string;
const CLASSES = 5;
const PER_CLASS = 6;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'xbm-backbone-'));
  process.env.XBM_HOME = join(folder, 'home');
  const lines = ['file,label'];
  for (let label = 0; label < CLASSES; label++) {
    await mkdir(join(folder, 'images', `c${label}`), { recursive: true });
    for (let i = 0; i < PER_CLASS; i++) {
      const pixels = Uint8Array.from(
        { length: 20 * 20 * 3 },
        (_, p) => (hash32(label, i, p >> 4) + 40 * label) % 256,
      );
      const name = `c${label}/${i}.png`;
      await sharp(pixels, { raw: { width: 20, height: 20, channels: 3 } }).toFile(
        join(folder, 'images', name),
      );
      lines.push(`${name},${label}`);
    }
  }
  await writeFile(join(folder, 'labels.csv'), lines.join('\n'));
  const float = join(folder, 'float.safetensors');
  await saveBackbone(float, randomBackbone(32, 32), { sourceSha256: '', calibration: '' });
  const { tensors } = await readSafetensors(float);
  await writeSafetensors(float, tensors);
});
after(async () => {
  delete process.env.XBM_HOME;
  await rm(folder, { recursive: true });
});

async function run(...argv: string[]) {
  const io = fakeIo({ cwd: folder });
  const code = await main(['backbone', ...argv], io);
  const out = io.out();
  const lines = out.trim().split('\n');
  return { code, out, err: io.err(), json: () => JSON.parse(lines[lines.length - 1]) };
}

test('import, info, list, check', async () => {
  const calibration = ['--calibrate', 'images', '--calibration-images', '10', '--batch-size', '4'];
  const imported = await run('import', 'float.safetensors', '--name', 'tiny', ...calibration, '--json');
  assert.equal(imported.code, 0, imported.err);
  const { sha256, weightBits, activationBits, network, convolutions, calibration: text } = imported.json();
  assert.deepEqual([weightBits, activationBits, network, convolutions], [4, 4, 'cifar-resnet8', 9]);
  assert.match(text, /10 images at 32 pixels/);
  assert.match(imported.err, /Note: 10 calibration images are few, and can ruin a backbone; give 64 or more/);
  assert.equal(imported.json().agreement.images, 10);
  assert.doesNotMatch(imported.err, /it has no more/);

  const info = await run('info', 'tiny');
  assert.equal(info.code, 0, info.err);
  assert.ok(info.out.includes(`${sha256} (verified)`));
  assert.match(info.out, /^weights +4 bits, levels 0\.\d+ wide \(median\)$/m);
  assert.match((await run('list')).out, /tiny\s+cifar-resnet8\s+4\/4/);
  assert.equal((await run('list', '--json')).json().backbones[0].backbone.sha256, sha256);

  const stored = await run('check', 'tiny', '--images', 'images', '--float', 'float.safetensors', '--json');
  assert.equal(stored.code, 0, stored.err);
  const { rows, measuredImages, calibrationImages } = stored.json();
  assert.equal(measuredImages, CLASSES * PER_CLASS - 10);
  assert.equal(calibrationImages, 10);
  assert.deepEqual(
    rows.map((row: { images: number }) => row.images),
    [20, 20],
  );
  for (const { accuracy, correct, interval } of rows) {
    assert.equal(accuracy, 5 * correct);
    assert.ok(interval[0] <= accuracy && accuracy <= interval[1]);
  }
});

test('check of float weights quantises on some images and measures the others', async () => {
  const csv = ['check', 'float.safetensors', '--images', 'images', '--labels', 'labels.csv'];
  const { code, json, err } = await run(...csv, '--calibration-images', '8', '--batch-size', '4', '--json');
  assert.equal(code, 0, err);
  assert.equal(json().measuredImages, 22);
  assert.equal(json().rows.length, 3);
  const table = await run(...csv, '--weight-bits', '32', '--activation-bits', '32', '--limit', '5');
  assert.match(table.out, /full precision .* of 5/);
});

test('--limit measures images drawn from all, another seed others', async () => {
  const loss = async (...options: string[]) => {
    const bits = ['--weight-bits', '32', '--activation-bits', '32', '--images', 'images', '--json'];
    const result = await run('check', 'float.safetensors', ...bits, ...options);
    assert.equal(result.code, 0, result.err);
    return result.json().rows[0].loss;
  };
  const first = Array.from({ length: PER_CLASS }, (_, i) => `c0/${i}.png,0`);
  await writeFile(join(folder, 'first.csv'), first.join('\n'));
  const limit = ['--limit', String(PER_CLASS)];
  assert.notEqual(await loss(...limit), await loss('--labels', 'first.csv'));
  assert.notEqual(await loss(...limit, '--seed', '1'), await loss(...limit));
  assert.equal(await loss('--limit', String(2 * CLASSES * PER_CLASS)), await loss());
});

test('of two imports of one name at once one is refused, unless it is forced', async () => {
  const float = ['import', 'float.safetensors', '--weight-bits', '32', '--activation-bits', '32'];
  const codes = async (...options: string[]) => {
    const both = await Promise.all([1, 2].map(() => run(...float, '--name', 'both', ...options)));
    return both.map(({ code }) => code).sort();
  };
  assert.deepEqual(await codes(), [0, 2]);
  assert.deepEqual(await codes('--force'), [0, 0]);
});

test('--name takes the ending of the file as well', async () => {
  const float = ['import', 'float.safetensors', '--weight-bits', '32', '--activation-bits', '32'];
  const { json } = await run(...float, '--name', 'ended.safetensors', '--json');
  assert.equal(json().file, join(folder, 'home', 'backbones', 'ended.safetensors'));
});

test('with 32 bits options for quantisation are refused', async () => {
  const float = ['float.safetensors', '--weight-bits', '32', '--activation-bits', '32'];
  const refuse = async (message: RegExp, ...argv: string[]) => {
    const { code, err } = await run(...argv);
    assert.equal(code, 2, err);
    assert.match(err, message);
  };
  const both = ['--calibrate', 'images', '--rounding', 'nearest'];
  await refuse(/: --calibrate and --rounding would change nothing/, 'import', ...float, ...both);
  await refuse(/: --clips would .*/, 'check', ...float, '--images', 'images', '--clips', 'mse');
});

test('a home that cannot be written is named, and what to set instead', async (t) => {
  const home = process.env.XBM_HOME;
  t.after(() => {
    process.env.XBM_HOME = home;
  });
  process.env.XBM_HOME = join(folder, 'labels.csv', 'home');
  const images = ['--images', 'images', '--weight-bits', '32', '--activation-bits', '32'];
  const checked = await run('check', 'float.safetensors', ...images);
  assert.equal(checked.code, 3, checked.err);
  assert.match(checked.err, /no pixel cache: .*labels.csv is a file, .*\nSet XBM_HOME \(or data.cache of/);
  const imported = await run('import', 'float.safetensors', '--calibrate', 'images', '--image-size', '16');
  assert.equal(imported.code, 2, imported.err);
  assert.match(imported.err, /home.backbones: cannot be created: .*\nSet XBM_HOME to a folder that you/);
});

test('a quantised backbone is imported as it is, and never passes for float weights', async () => {
  const provenance = { sourceSha256: 'ab', calibration: 'on 3 images', calibrationImages: ['c', 'd'] };
  const made = randomBackbone(4, 4);
  await saveBackbone(join(folder, 'quantized.safetensors'), made, provenance);
  const imported = await run('import', 'quantized.safetensors', '--name', 'kept', '--json');
  assert.equal(imported.code, 0, imported.err);
  assert.equal(imported.json().sha256, made.sha256);
  const kept = await loadBackbone(join(folder, 'home', 'backbones', 'kept.safetensors'));
  assert.deepEqual(kept.provenance, provenance);
  for (const argv of [
    ['import', 'quantized.safetensors', '--name', 'a', '--calibrate', 'images'],
    ['import', 'quantized.safetensors', '--name', 'a', '--weight-bits', '32', '--activation-bits', '32'],
    ['check', 'quantized.safetensors', '--images', 'images', '--float', 'quantized.safetensors'],
  ]) {
    const { code, err } = await run(...argv);
    assert.equal(code, 2, err);
    assert.match(err, /quantized.safetensors: is quantised already\nName the float weights/);
  }
});

test('a stored backbone is checked as it was calibrated, and takes no options for quantisation', async () => {
  const form = { imageSize: 16, augmentation: 'random-resized-crop', crop: 100 } as const;
  const calibration = 'batch norm keep; 2 images at 16 pixels, centre crop of 100 %';
  const save = (name: string, rest: object) =>
    saveBackbone(join(folder, name), randomBackbone(4, 4), { sourceSha256: '', calibration, ...rest });
  await save('formed.safetensors', { calibrationForm: form });
  await save('worded.safetensors', {});
  const check = (...argv: string[]) => run('check', ...argv, '--images', 'images', '--json');
  const loss = async (...argv: string[]) => (await check(...argv)).json().rows[0].loss;
  const named = ['--image-size', '16', '--augmentation', 'random-resized-crop', '--crop', '100'];
  const asCalibrated = await loss('formed.safetensors', ...named);
  assert.equal(await loss('formed.safetensors'), asCalibrated);
  assert.equal(await loss('worded.safetensors'), asCalibrated);
  assert.doesNotMatch((await check('formed.safetensors')).err, /Note/);
  const larger = await check('formed.safetensors', '--image-size', '24', '--augmentation', 'none');
  assert.match(
    larger.err,
    /Note: it was calibrated at 16 pixels \(random-resized-crop\), centre crop of 100 %, and is measured at 24 pixels \(none\)\n/,
  );
  for (const option of [
    ['--weight-bits', '4'],
    ['--rounding', 'nearest'],
    ['--calibration-images', '7'],
    ['--network', 'resnet18'],
  ]) {
    const { code, err } = await check('formed.safetensors', ...option);
    assert.equal(code, 2, err);
    assert.match(
      err,
      new RegExp(`formed.safetensors: is quantised already; ${option[0]} would change nothing`),
    );
  }
});

test('labels are class names first: numbers may be names, but not both in one file', async () => {
  const names = ['1', '10', '11', '2'];
  for (let i = 0; i < 4; i++) await writeFile(join(folder, `${i}.png`), '');
  const read = async (...labels: string[]) => {
    const file = join(folder, 'names.csv');
    await writeFile(file, labels.map((label, i) => `${i}.png,${label}`).join('\n'));
    return (await findLabelled(folder, file, names, names.length)).map(({ label }) => label);
  };
  assert.deepEqual(await read('10', '2', '1'), [1, 3, 0]);
  assert.deepEqual(await read('0', '3'), [0, 3]);
  await assert.rejects(
    read('2', '3'),
    /names.csv:2: "3" is a class index, but "2" at .*names.csv:1 is the name/,
  );
  await assert.rejects(read('4'), /"4" is no class/);
});

test('folders are classes by their names; by their places only where the network knows no names', async () => {
  const images = join(folder, 'images');
  const found = async (classes: readonly string[]) =>
    (await findLabelled(images, undefined, classes, CLASSES)).map(({ label }) => label);
  const inOrder = Array.from({ length: CLASSES * PER_CLASS }, (_, i) => Math.floor(i / PER_CLASS));
  assert.deepEqual(await found([]), inOrder);
  assert.deepEqual(await found(['c4', 'c3', 'c2', 'c1', 'c0']), inOrder.toReversed());
  await assert.rejects(
    found(['c0', 'c1', 'plane', 'c3', 'c4']),
    /images: its folder "c2" is none of the network's 5 classes; it has no folder for "plane"/,
  );
  await assert.rejects(
    findLabelled(images, undefined, [], 4),
    /has 5 folders, but .* 4 classes without names/,
  );
});

test('images are found through links, each folder once', async (t) => {
  const linked = join(folder, 'linked');
  t.after(() => rm(linked, { recursive: true }));
  await mkdir(linked);
  await symlink(join(folder, 'images', 'c0', '0.png'), join(linked, 'a.png'));
  await symlink(join(folder, 'images', 'c1'), join(linked, 'b'));
  await symlink(linked, join(linked, 'again'));
  const found = findImages(linked).map(({ path }) => relative(linked, path));
  assert.deepEqual(found, ['a.png', ...Array.from({ length: PER_CLASS }, (_, i) => join('b', `${i}.png`))]);
});

test('--crop: what is measured depends on it, and a calibrated backbone says it', async () => {
  const cropping = ['--augmentation', 'random-resized-crop', '--image-size', '16', '--json'];
  const loss = async (...crop: string[]) => {
    const float = ['--weight-bits', '32', '--activation-bits', '32', '--images', 'images', '--limit', '10'];
    const result = await run('check', 'float.safetensors', ...float, ...cropping, ...crop);
    assert.equal(result.code, 0, result.err);
    return result.json().rows[0].loss;
  };
  const whole = await loss('--crop', '100');
  const usual = await loss();
  assert.notEqual(whole, usual);
  assert.equal(await loss('--crop', '87.5'), usual);

  const calibration = ['--calibrate', 'images', '--calibration-images', '2', '--batch-size', '2'];
  const imported = await run(
    ...['import', 'float.safetensors', '--name', 'whole', '--crop', '100', '--batch-norm', 'keep'],
    ...[...calibration, ...cropping],
  );
  assert.match(imported.json().calibration, /2 images at 16 pixels, centre crop of 100 %/);
  const { provenance } = await loadBackbone(join(folder, 'home', 'backbones', 'whole.safetensors'));
  assert.deepEqual(provenance.calibrationForm, {
    ...{ imageSize: 16, augmentation: 'random-resized-crop', crop: 100 },
  });
});

test('import says how often the quantised network agrees with the float one', async () => {
  const calibration = ['--calibrate', 'images', '--calibration-images', '10', '--batch-size', '4'];
  const eightBits = ['--weight-bits', '8', '--activation-bits', '32', '--batch-norm', 'keep'];
  const argv = ['import', 'float.safetensors', '--name', 'agreeing', ...calibration, ...eightBits];
  const { agreement } = (await run(...argv, '--json')).json();
  assert.ok(agreement.agreeing >= 9 && agreement.images === 10, JSON.stringify(agreement));
  const { out } = await run(...argv, '--force');
  const { agreeing } = agreement;
  assert.ok(
    out.includes(
      `same class as in full precision on ${agreeing} of 10 calibration images (${agreeing}0.0 %)`,
    ),
    out,
  );
});

test('import says when there are fewer calibration images than asked for', async () => {
  const asked = String(CLASSES * PER_CLASS + 1);
  const calibration = ['--calibrate', 'images', '--calibration-images', asked, '--batch-norm', 'keep'];
  const imported = await run('import', 'float.safetensors', '--name', 'all', ...calibration, '--json');
  assert.equal(imported.code, 0, imported.err);
  assert.match(imported.err, new RegExp(`calibrating on all ${CLASSES * PER_CLASS} images of images`));
  assert.match(imported.json().calibration, new RegExp(`${CLASSES * PER_CLASS} images at 32 pixels`));
});

test('what is wrong is said with exit code 2', async () => {
  const refuse = async (message: RegExp, ...argv: string[]) => {
    const { code, err } = await run(...argv);
    assert.match(err, message);
    assert.equal(code, 2, err);
  };
  await refuse(/Add --calibrate FOLDER/, 'import', 'float.safetensors', '--name', 'other');
  for (const crop of ['0', '101', 'all']) {
    await refuse(/Expected a number from 10 to 100/, 'import', 'float.safetensors', '--crop', crop);
  }
  for (const size of ['1', '7', '1025', '5000']) {
    await refuse(/a whole number from 8 to 1024/, 'import', 'float.safetensors', '--image-size', size);
    await refuse(/a whole number from 8 to 1024/, 'check', 'float.safetensors', '--image-size', size);
  }
  await refuse(/a whole number from 1 to 4096/, 'import', 'float.safetensors', '--batch-size', '5000');
  for (const command of ['import', 'check', 'train']) {
    const choices =
      /'--engine <engine>' argument 'foo' is invalid. Allowed choices are auto, native, onnx, tfjs, webgpu/;
    await refuse(choices, command, ...(command === 'train' ? [] : ['float.safetensors']), '--engine', 'foo');
  }
  await refuse(
    /--crop is for the augmentation random-resized-crop; here it is none/,
    ...['check', 'float.safetensors', '--images', 'images', '--crop', '100'],
  );
  await refuse(/holds no images/, 'import', 'float.safetensors', '--name', 'o', '--calibrate', 'home');
  await refuse(/Expected 2 to 8, or 32/, 'import', 'float.safetensors', '--weight-bits', '1');
  await refuse(
    /does not hold the weights of resnet18/,
    'import',
    'float.safetensors',
    '--network',
    'resnet18',
  );
  await refuse(/labels.csv: not a valid safetensors file/, 'import', 'labels.csv');
  await refuse(/no backbone named "none"/, 'info', 'none');
  await refuse(/has no folder per class/, 'check', 'float.safetensors', '--images', 'images/c0');
  const labels = async (text: string, message: RegExp) => {
    await writeFile(join(folder, 'bad.csv'), text);
    await refuse(message, 'check', 'float.safetensors', '--images', 'images', '--labels', 'bad.csv');
  };
  await labels('c0/0.png,9\n', /bad.csv:1: "9" is no class; expected 0 … 4/);
  await labels('file,label\nc0/none.png,1\n', /bad.csv:2: .*none.png does not exist/);
  await labels('hello\n', /bad.csv:1: expected "file,label"/);
  await labels('\n', /lists no images/);
});

test('defaults of the options are the best calibration', () => {
  assert.deepEqual({ ...defaults }, { ...bestCalibration });
});

test('Wilson interval against published values', () => {
  // Newcombe 1998, table I, method 3 (score without continuity correction): 81/263, 15/148, 0/20, 1/29.
  const cases: [number, number, number, number][] = [
    [81, 263, 25.53, 36.62],
    [15, 148, 6.24, 16.05],
    [0, 20, 0, 16.11],
    [1, 29, 0.61, 17.18],
  ];
  for (const [correct, total, lower, upper] of cases) {
    const [a, b] = wilsonInterval(correct, total);
    assert.ok(Math.abs(a - lower) < 0.006 && Math.abs(b - upper) < 0.006, `${correct}/${total}: ${a} ${b}`);
  }
});
