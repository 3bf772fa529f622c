/** @file Images on the command line: folders of files for calibration, labelled images for measuring. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isFile, isFolder, isImageName, listFilesBelow, listFolders, listImages } from '../data/files.js';
import type { Sample } from '../data/types.js';
import { UserError } from '../errors.js';

/** All images in a folder and the folders inside, in ascending order. @throws UserError when there are none */
export function findImages(folder: string): Sample[] {
  requireFolder(folder);
  const names = listFilesBelow(folder).filter((path) => isImageName(basename(path)));
  if (names.length === 0)
    throw new UserError(`${folder}: holds no images`, 'Name a folder of JPEG or PNG files.');
  return names.map((path) => ({ path, label: 0 }));
}

/**
 * Images with labels: from lines `file,label` of a CSV file, else from one folder per class: by its name, or by its
 * place where the network's classes have no names.
 * @param classes names of the network's classes; empty when unknown
 * @param outputs number of the network's classes
 * @throws UserError when a folder or a label is no class of the network
 */
export async function findLabelled(
  folder: string,
  labels: string | undefined,
  classes: readonly string[],
  outputs: number,
): Promise<Sample[]> {
  requireFolder(folder);
  return labels === undefined
    ? folderPerClass(folder, classes, outputs)
    : readLabels(folder, labels, classes, outputs);
}

function folderPerClass(folder: string, classes: readonly string[], outputs: number): Sample[] {
  const names = listFolders(folder);
  if (names.length === 0) {
    throw new UserError(
      `${folder}: has no folder per class, so the images have no labels`,
      'Add --labels FILE, a CSV file with lines "file,label".',
    );
  }
  if (classes.length > 0) requireKnown(folder, names, classes);
  else if (names.length !== outputs) {
    throw new UserError(
      `${folder}: has ${names.length} folders, but the network has ${outputs} classes without names`,
      'Add --labels FILE, a CSV file with lines "file,label".',
    );
  }
  return names.flatMap((name, index) => {
    const label = classes.length > 0 ? classes.indexOf(name) : index;
    return listImages(join(folder, name)).map((file) => ({ path: join(folder, name, file), label }));
  });
}

/** @throws UserError unless every folder has the name of a class; not every class needs a folder */
function requireKnown(folder: string, names: readonly string[], classes: readonly string[]): void {
  const i = names.findIndex((name) => !classes.includes(name));
  if (i < 0) return;
  const missing = classes.find((name) => !names.includes(name));
  const other = missing === undefined ? '' : `; it has no folder for "${missing}"`;
  throw new UserError(
    `${folder}: its folder "${names[i]}" is none of the network's ${classes.length} classes${other}`,
    'Name images of the classes it was trained on, or add --labels FILE, a CSV file with lines "file,label".',
  );
}

async function readLabels(
  folder: string,
  file: string,
  classes: readonly string[],
  outputs: number,
): Promise<Sample[]> {
  if (!isFile(file)) throw new UserError(`${file}: no such file`, 'Check --labels.');
  const lines = (await readFile(file, 'utf8')).split(/\r?\n/);
  const labelled: LabelledFile[] = [];
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '' || (i === 0 && /^\s*file\s*,\s*label\s*$/i.test(line))) continue;
    const where = `${file}:${i + 1}`;
    const comma = line.lastIndexOf(',');
    if (comma < 0) throw new UserError(`${where}: expected "file,label", found "${line.slice(0, 80)}"`);
    const path = join(folder, line.slice(0, comma).trim());
    if (!isFile(path))
      throw new UserError(`${where}: ${path} does not exist`, 'Files are named from --images on.');
    labelled.push({ where, path, text: line.slice(comma + 1).trim() });
  }
  if (labelled.length === 0) throw new UserError(`${file}: lists no images`, 'It needs lines "file,label".');
  return toSamples(labelled, classes, outputs);
}

interface LabelledFile {
  /** File and line that say so. */
  readonly where: string;
  readonly path: string;
  readonly text: string;
}

/** A label is a class name; where no class has that name, an index. Both in numbers in one file would be a guess. */
function toSamples(labelled: readonly LabelledFile[], classes: readonly string[], outputs: number): Sample[] {
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const isNumber = (text: string) => /^\d+$/.test(text);
  const numberedName = labelled.find(({ text }) => isNumber(text) && labelOf.has(text));
  return labelled.map(({ where, path, text }) => {
    const label = labelOf.get(text) ?? (isNumber(text) ? Number(text) : outputs);
    if (label >= outputs)
      throw new UserError(`${where}: "${text}" is no class; expected 0 … ${outputs - 1} or a class name`);
    if (labelOf.has(text) && classes.indexOf(text) !== label)
      throw new UserError(
        `${where}: two classes have the name "${text}"`,
        'Write class indices in all lines.',
      );
    if (numberedName && !labelOf.has(text)) {
      throw new UserError(
        `${where}: "${text}" is a class index, but "${numberedName.text}" at ${numberedName.where} is the name of a class`,
        'Write class names in all lines.',
      );
    }
    return { path, label };
  });
}

function requireFolder(folder: string): void {
  if (!isFolder(folder)) throw new UserError(`${folder}: no such folder`, 'Name a folder of images.');
}
