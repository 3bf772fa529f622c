/** @file WikiArt by artist: train/<class>/… and test/<class>/…, or list files of lines `path label`. */
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { AdapterOptions, OfficialSplit } from './adapter.js';
import { distinctLabels, isFile, lineError, readLines } from './files.js';
import { holdsClasses, readTrainAndTest } from './folder.js';
import type { Sample } from './types.js';

const listNames = ['train.txt', 'test.txt'] as const;

/** Reads Piggyback's layout of folders, or train.txt and test.txt with paths below the root. */
export function readWikiart({ root }: AdapterOptions): OfficialSplit {
  const [trainList, testList] = listNames.map((name) => join(root, name));
  if (isFile(trainList) && isFile(testList)) return readLists(root, trainList, testList);
  const [train, test] = [join(root, 'train'), join(root, 'test')];
  if (holdsClasses(train) && holdsClasses(test)) return readTrainAndTest(train, test);
  throw new UserError(
    `${root} has neither train/ and test/ with class folders nor train.txt and test.txt`,
    'Expected train/<artist>/<image> and test/<artist>/<image>, or two list files with lines `path label`.',
  );
}

function readLists(root: string, trainList: string, testList: string): OfficialSplit {
  const [train, test] = [readList(trainList), readList(testList)];
  const classes = distinctLabels([...train, ...test].map(({ label }) => label));
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const samples = (list: ListedImage[]): Sample[] =>
    list.map(({ path, label }) => ({ path: join(root, path), label: labelOf.get(label)! }));
  return { classes, train: samples(train), test: samples(test) };
}

interface ListedImage {
  readonly path: string;
  readonly label: string;
}

/** Lines `path label` or `path,label`; the label is the last field, so paths may hold spaces. */
function readList(file: string): ListedImage[] {
  return readLines(file).map(({ text, number }) => {
    const match = /^(.+?)(?:\s*[,;\t]\s*|\s+)([^\s,;]+)$/.exec(text);
    if (!match || match[1].split('/').includes('..')) throw lineError(file, number, '`path label`', text);
    return { path: match[1], label: match[2] };
  });
}
