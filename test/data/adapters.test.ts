import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { compareCounts, requireImagesPerClass } from '../../src/data/counts.js';
import {
  type DataSet,
  type DataSetOptions,
  openDataSet,
  type Sample,
  type TaskName,
} from '../../src/data/index.js';
import { UserError } from '../../src/errors.js';
import { temporaryFolder } from './images.js';
import {
  carNames,
  writeCarsCsv,
  writeCarsDevkit,
  writeCubs,
  writeFlowers,
  writeSketches,
  writeText,
  writeWikiartFolders,
  writeWikiartLists,
} from './layouts.js';
import { matFile } from './matWriter.js';

function brief(dataSet: DataSet, samples: readonly Sample[]): [string, number][] {
  return samples.map(({ path, label }) => [relative(dataSet.root, path), label]);
}

async function refuses(options: DataSetOptions, pattern: RegExp): Promise<void> {
  await assert.rejects(openDataSet(options), (error: unknown) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, pattern);
    assert.ok(error.hint, 'a hint says what to do');
    return true;
  });
}

function replaceLine(file: string, line: number, text: string): void {
  const lines = readFileSync(file, 'utf8').split('\n');
  lines[line - 1] = text;
  writeFileSync(file, lines.join('\n'));
}

describe('cubs', () => {
  test('reads the official layout and split', async (t) => {
    const root = temporaryFolder(t);
    await writeCubs(root);
    const dataSet = await openDataSet({ task: 'cubs', root });
    assert.deepEqual(dataSet.classes, ['001.Albatross', '002.Auklet', '003.Blackbird']);
    assert.deepEqual(brief(dataSet, dataSet.train).slice(0, 3), [
      ['images/001.Albatross/bird_1.png', 0],
      ['images/001.Albatross/bird_2.png', 0],
      ['images/002.Auklet/bird_5.png', 1],
    ]);
    assert.deepEqual(
      dataSet.test.map(({ label }) => label),
      [0, 0, 1, 1, 2, 2],
    );
    assert.equal(dataSet.train[0].box, undefined);
  });

  test('crops to bounding boxes: by default in edition 2011, or when asked to', async (t) => {
    const root = temporaryFolder(t);
    await writeCubs(root);
    const box = { x: 1, y: 2, width: 20, height: 11 };
    assert.deepEqual((await openDataSet({ task: 'cubs', root, edition: '2011' })).train[0].box, box);
    assert.deepEqual((await openDataSet({ task: 'cubs', root, crop: true })).train[0].box, box);
    const whole = await openDataSet({ task: 'cubs', root, edition: '2011', crop: false });
    assert.equal(whole.train[0].box, undefined);
    rmSync(join(root, 'bounding_boxes.txt'));
    await refuses({ task: 'cubs', root, crop: true }, /bounding_boxes\.txt is missing/);
  });

  const damages: [string, (root: string) => void, RegExp][] = [
    ['no images.txt', (root) => rmSync(join(root, 'images.txt')), /images\.txt is missing/],
    ['an empty classes.txt', (root) => writeText(join(root, 'classes.txt'), ''), /classes\.txt is empty/],
    [
      'an unknown class',
      (root) => replaceLine(join(root, 'image_class_labels.txt'), 4, '4 9'),
      /image_class_labels\.txt, line 4: expected a class number.*"9"/,
    ],
    [
      'a bad split',
      (root) => replaceLine(join(root, 'train_test_split.txt'), 5, '5 yes'),
      /train_test_split\.txt, line 5: expected 1 \(train\) or 0 \(test\), got "yes"/,
    ],
    ['a line cut off', (root) => replaceLine(join(root, 'images.txt'), 3, '3'), /images\.txt, line 3/],
    [
      'a number twice',
      (root) => appendFileSync(join(root, 'images.txt'), '7 x.png\n'),
      /images\.txt, line 13: .*7, which is on line 7/,
    ],
    [
      'an image without label',
      (root) => appendFileSync(join(root, 'images.txt'), '13 x.png\n'),
      /image_class_labels\.txt has no line for image 13/,
    ],
    [
      'a path out of the folder',
      (root) => replaceLine(join(root, 'images.txt'), 1, '1 ../../x.png'),
      /images\.txt, line 1/,
    ],
    [
      'no train images',
      (root) =>
        writeText(
          join(root, 'train_test_split.txt'),
          Array.from({ length: 12 }, (_, i) => `${i + 1} 0\n`).join(''),
        ),
      /the train split of task cubs in .* is empty/,
    ],
  ];
  for (const [name, damage, pattern] of damages) {
    test(`refuses ${name}`, async (t) => {
      const root = temporaryFolder(t);
      await writeCubs(root);
      damage(root);
      await refuses({ task: 'cubs', root }, pattern);
    });
  }
});

describe('cars', () => {
  test('reads the devkit and crops to the boxes', async (t) => {
    const root = temporaryFolder(t);
    await writeCarsDevkit(root);
    const dataSet = await openDataSet({ task: 'cars', root });
    assert.deepEqual(dataSet.classes, carNames);
    assert.deepEqual(brief(dataSet, dataSet.train).slice(0, 2), [
      ['cars_train/00001.jpg', 0],
      ['cars_train/00002.jpg', 1],
    ]);
    assert.equal(dataSet.test.length, 3);
    assert.match(dataSet.test[0].path, /cars_test/);
    // Corners (3, 2) … (20, 16) count from 1 and belong to the box.
    assert.deepEqual(dataSet.train[0].box, { x: 2, y: 1, width: 18, height: 15 });
    assert.equal((await openDataSet({ task: 'cars', root, crop: false })).train[0].box, undefined);
  });

  test('reads CSV files with class numbers and a folder per class', async (t) => {
    const [root, devkit] = [temporaryFolder(t), temporaryFolder(t)];
    writeCarsCsv(root);
    await writeCarsDevkit(devkit);
    const [csv, mat] = [
      await openDataSet({ task: 'cars', root }),
      await openDataSet({ task: 'cars', root: devkit }),
    ];
    assert.deepEqual(csv.classes, mat.classes);
    const labelsAndBoxes = ({ train }: DataSet) => train.map(({ label, box }) => ({ label, box }));
    assert.deepEqual(labelsAndBoxes(csv), labelsAndBoxes(mat));
    assert.equal(
      relative(root, csv.train[1].path),
      'car_data/car_data/train/Ram C-V Cargo Van Minivan 2012/00002.jpg',
    );
  });

  test('reads CSV files with a header and class names', async (t) => {
    const root = temporaryFolder(t);
    writeText(
      join(root, 'train.csv'),
      'image,x1,y1,x2,y2,Class\na.jpg,1,1,5,6,"Audi A5, red"\nb.jpg,1,1,5,6,BMW\n',
    );
    writeText(join(root, 'test.csv'), 'x1,y1,x2,y2,image,class\n1,1,5,6,sub/c.jpg,BMW\n');
    const dataSet = await openDataSet({ task: 'cars', root });
    assert.deepEqual(dataSet.classes, ['Audi A5, red', 'BMW']);
    assert.deepEqual(brief(dataSet, dataSet.test), [['sub/c.jpg', 1]]);
    writeText(join(root, 'test.csv'), 'image,x1,y1,x2,y2,class\nc.jpg,1,1,,6,BMW\n');
    await refuses({ task: 'cars', root }, /test\.csv, line 2: expected image, x1, y1, x2, y2, class/);
  });

  test('names what is missing or wrong', async (t) => {
    const root = temporaryFolder(t);
    await refuses({ task: 'cars', root }, /neither the devkit nor the CSV/);
    await writeCarsDevkit(root);
    writeText(join(root, 'devkit', 'cars_meta.mat'), matFile({ class_names: [carNames[0]] }));
    await refuses(
      { task: 'cars', root },
      /cars_train_annos\.mat: annotations\(2\)\.class is 2, expected 1 … 1/,
    );
    rmSync(join(root, 'devkit', 'cars_test_annos_withlabels.mat'));
    await refuses({ task: 'cars', root }, /cars_test_annos_withlabels\.mat is missing/);
  });
});

describe('flowers', () => {
  test('joins the official train and validation splits', async (t) => {
    const root = temporaryFolder(t);
    await writeFlowers(root);
    const dataSet = await openDataSet({ task: 'flowers', root });
    assert.equal(dataSet.classes.length, 3);
    assert.deepEqual(brief(dataSet, dataSet.train).slice(0, 4), [
      ['jpg/image_00003.jpg', 2],
      ['jpg/image_00001.jpg', 0],
      ['jpg/image_00002.jpg', 1],
      ['jpg/image_00004.jpg', 0],
    ]);
    assert.deepEqual(
      dataSet.test.map(({ label }) => label),
      [2, 1, 0],
    );
  });

  test('names what is missing or wrong', async (t) => {
    const root = temporaryFolder(t);
    await refuses({ task: 'flowers', root }, /imagelabels\.mat is missing/);
    await writeFlowers(root);
    writeText(join(root, 'setid.mat'), matFile({ trnid: [1, 2], valid: [2], tstid: [4] }));
    await refuses({ task: 'flowers', root }, /setid\.mat: image 2 is in two splits/);
    writeText(join(root, 'setid.mat'), matFile({ trnid: [1, 10], valid: [2], tstid: [4] }));
    await refuses({ task: 'flowers', root }, /setid\.mat: element 2 of "trnid" is 10, expected 1 … 9/);
    writeText(join(root, 'setid.mat'), matFile({ trnid: [1], tstid: [4] }));
    await refuses({ task: 'flowers', root }, /setid\.mat: the array "valid" is missing/);
    writeText(join(root, 'setid.mat'), 'MATLAB 7.3 MAT-file'.padEnd(600));
    await refuses({ task: 'flowers', root }, /setid\.mat is not a readable .*7\.3/);
  });
});

describe('wikiart', () => {
  test('reads folders', async (t) => {
    const root = temporaryFolder(t);
    writeWikiartFolders(root);
    const dataSet = await openDataSet({ task: 'wikiart', root });
    assert.deepEqual(dataSet.classes, ['claude-monet', 'edgar-degas']);
    assert.deepEqual([dataSet.train.length, dataSet.test.length], [6, 2]);
  });

  test('reads list files: spaces in paths, labels in numeric order', async (t) => {
    const root = temporaryFolder(t);
    writeWikiartLists(root);
    const dataSet = await openDataSet({ task: 'wikiart', root });
    assert.deepEqual(dataSet.classes, ['2', '10']);
    assert.deepEqual(brief(dataSet, dataSet.train), [
      ['images/a water lily.jpg', 1],
      ['images/b.jpg', 0],
    ]);
    assert.deepEqual(brief(dataSet, dataSet.test), [
      ['images/c.jpg', 1],
      ['images/d.jpg', 0],
    ]);
    appendFileSync(join(root, 'test.txt'), 'alone\n');
    await refuses({ task: 'wikiart', root }, /test\.txt, line 3: expected `path label`, got "alone"/);
  });
});

describe('sketches', () => {
  test('the first 64 of each class in file-name order train', async (t) => {
    const root = temporaryFolder(t);
    writeSketches(root);
    const dataSet = await openDataSet({ task: 'sketches', root });
    assert.deepEqual(dataSet.classes, ['airplane', 'alarm clock']);
    assert.deepEqual([dataSet.train.length, dataSet.test.length], [128, 31]);
    assert.equal(relative(root, dataSet.train[1].path), 'png/airplane/10.png');
  });
});

describe('folder', () => {
  test('train and test folders; a class may be called "train"', async (t) => {
    const root = temporaryFolder(t);
    for (const split of ['train', 'test']) {
      for (const name of ['train', 'bus']) writeText(join(root, split, name, '1.png'), '');
    }
    const dataSet = await openDataSet({ task: 'folder', root });
    assert.deepEqual(dataSet.classes, ['bus', 'train']);
    assert.deepEqual(brief(dataSet, dataSet.test), [
      ['test/bus/1.png', 0],
      ['test/train/1.png', 1],
    ]);
  });

  test('one folder: a split by hash that no seed moves', async (t) => {
    const root = temporaryFolder(t);
    for (let i = 0; i < 20; i++) {
      writeText(join(root, 'train', `${i}.png`), '');
      writeText(join(root, 'bus', `${i}.JPG`), '');
    }
    writeText(join(root, 'bus', 'notes.txt'), '');
    writeText(join(root, '.cache', 'x.png'), '');
    const dataSet = await openDataSet({ task: 'folder', root, trainPercent: 75 });
    assert.deepEqual(dataSet.classes, ['bus', 'train']);
    const perClass = (samples: readonly Sample[]) =>
      [0, 1].map((label) => samples.filter((s) => s.label === label).length);
    assert.deepEqual(perClass(dataSet.train), [15, 15]);
    assert.deepEqual(perClass(dataSet.test), [5, 5]);
    const again = await openDataSet({ task: 'folder', root, trainPercent: 75, seed: 9 });
    assert.deepEqual(again.test, dataSet.test);
    const more = await openDataSet({ task: 'folder', root, trainPercent: 80 });
    const trained = new Set(more.train.map(({ path }) => path));
    assert.ok(
      dataSet.train.every(({ path }) => trained.has(path)),
      'a larger share only adds',
    );
  });

  test('a folder without images that can be read is a class all the same, and one that cannot be trained', async (t) => {
    for (const task of ['folder', 'sketches'] as const) {
      const root = temporaryFolder(t);
      for (const name of ['bus', 'tram']) {
        for (let i = 0; i < 6; i++) writeText(join(root, name, `${i}.png`), '');
      }
      requireImagesPerClass(await openDataSet({ task, root }));
      writeText(join(root, 'ship', '1.bmp'), '');
      const dataSet = await openDataSet({ task, root });
      assert.deepEqual(dataSet.classes, ['bus', 'ship', 'tram']);
      assert.throws(() => requireImagesPerClass(dataSet), { message: `${root}: class ship has no images` });
      const { differences } = compareCounts(dataSet, { edition: null, subset: true });
      assert.ok(differences.includes('class ship has no images'));
    }
  });

  test('names what is missing or wrong', async (t) => {
    const root = temporaryFolder(t);
    await refuses({ task: 'folder', root: join(root, 'no') }, /no does not exist/);
    await refuses({ task: 'folder', root }, /holds no folders with images/);
    writeText(join(root, 'train', 'a', '1.png'), '');
    await refuses({ task: 'folder', root }, /has train\/ but no test\//);
    writeText(join(root, 'test', 'b', '1.png'), '');
    await refuses({ task: 'folder', root }, /test has classes that .*train lacks: b/);
    writeText(join(root, 'file'), '');
    await refuses({ task: 'folder', root: join(root, 'file') }, /file is not a folder/);
    await refuses({ task: 'birds' as TaskName, root }, /unknown task "birds"/);
  });
});

test('a split that has no image for its rule says what the rule needs', async (t) => {
  const root = temporaryFolder(t);
  for (const name of ['bus', 'tram']) writeText(join(root, name, '1.png'), '');
  const sole = /the test split is empty: of a class with one image, that image goes to the train split/;
  await refuses({ task: 'folder', root }, sole);
  await refuses({ task: 'folder', root, trainPercent: 20 }, /the train split is empty.*trainPercent is 20/);
  await refuses({ task: 'sketches', root }, /the test split is empty: of a class with fewer than 5 images/);
  for (const i of [2, 3, 4, 5]) writeText(join(root, 'bus', `${i}.png`), '');
  for (const task of ['folder', 'sketches'] as const) {
    assert.equal((await openDataSet({ task, root })).test.length, 1);
  }
});

describe('validation', () => {
  test('holds a share of each class out of train, by seed', async (t) => {
    const root = temporaryFolder(t);
    writeSketches(root);
    const open = (changes: Partial<DataSetOptions>) => openDataSet({ task: 'sketches', root, ...changes });
    const all = await open({});
    const dataSet = await open({ validationPercent: 25 });
    assert.deepEqual([dataSet.train.length, dataSet.validation.length], [96, 32]);
    assert.deepEqual(dataSet.test, all.test);
    const labels = dataSet.validation.map(({ label }) => label);
    assert.equal(labels.filter((label) => label === 0).length, 16);
    const paths = [...dataSet.train, ...dataSet.validation].map(({ path }) => path).sort();
    assert.deepEqual(paths, all.train.map(({ path }) => path).sort());
    assert.deepEqual(await open({ validationPercent: 25 }), dataSet);
    assert.notDeepEqual((await open({ validationPercent: 25, seed: 1 })).validation, dataSet.validation);
  });

  test('an unreadable folder is one clear message', async (t) => {
    const root = temporaryFolder(t);
    mkdirSync(join(root, 'images.txt'), { recursive: true });
    await refuses({ task: 'cubs', root }, /images\.txt is missing/);
  });
});
