/** @file What a file is that was taken for safetensors, from its first bytes. */

export interface ForeignFile {
  readonly what: string;
  readonly hint: string;
}

const convert =
  'Convert it where PyTorch is installed: safetensors.torch.save_file(torch.load(FILE, weights_only=True), "FILE.safetensors").';
const download = 'Download the file itself, not the page about it.';

const signatures: readonly (ForeignFile & { readonly starts: readonly string[] })[] = [
  { starts: ['<!doctype', '<html', '<head', '<?xml'], what: 'an HTML page', hint: download },
  {
    starts: ['version '],
    what: 'a Git LFS pointer, not the file it stands for',
    hint: 'Run `git lfs pull`.',
  },
  { starts: ['pk\x03\x04'], what: 'a zip archive, as PyTorch saves', hint: convert },
  { starts: ['\x80\x02', '\x80\x03', '\x80\x04'], what: 'a Python pickle, as PyTorch saves', hint: convert },
  { starts: ['\x89hdf'], what: 'an HDF5 file', hint: 'Save the weights as safetensors.' },
  { starts: ['{', '['], what: 'JSON', hint: download },
];

/** @param first its first 8 bytes @returns undefined when they say nothing */
export function recogniseFile(first: Uint8Array): ForeignFile | undefined {
  const text = Buffer.from(first).toString('latin1').toLowerCase().trimStart();
  const fits = (start: string) => text !== '' && (text.startsWith(start) || start.startsWith(text));
  return signatures.find(({ starts }) => starts.some(fits));
}
