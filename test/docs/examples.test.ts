/** @file Runs what the documents tell their readers to run. How to add an example: see smallerForms.ts and world.ts. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { loadExperiment } from '../../src/config/load.js';
import { ExitCode } from '../../src/errors.js';
import { packageRoot } from '../../src/paths.js';
import { expandRuns } from '../../src/reproduce/expand.js';
import { loadReproduction } from '../../src/reproduce/reproductionFile.js';
import { fakeIo } from '../cli/fakeIo.js';
import { randomBackbone, writeRun } from '../report/trainedRuns.js';
import { type Inline, type Markdown, readMarkdown } from './markdown.js';
import { expandOptional, shellCommands } from './shell.js';
import { smallerForms } from './smallerForms.js';
import { writeWorkFolder, writeWorld } from './world.js';

const documents = [
  'README.md',
  'datasets.md',
  'REPRODUCIBILITY.md',
  ...readdirSync(join(packageRoot(), 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** The file that a document's examples use its YAML block as, block by block. */
const yamlFiles: Readonly<Record<string, readonly string[]>> = { 'README.md': ['my-experiment.yaml'] };

/** The command that the inline options of a document belong to: each is run with it. */
const commandOfOptions: Readonly<Record<string, string>> = {
  'docs/calibration.md':
    'xbm backbone check resnet50.safetensors --images ../data/imagenet-sample --labels labels.csv',
};

/** The script that inline options of a document may belong to, besides the commands. */
const scriptOfOptions: Readonly<Record<string, string>> = {
  'docs/performance.md': 'bench/cpu.ts',
  'docs/tensorflow.md': 'scripts/tensorflow/options.mjs',
  'docs/webgpu.md': 'bench/webgpu.ts',
};

/** What must be in the folder before a document's first example. */
const preparations: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  'docs/export.md': async (folder) => {
    for (const task of ['flowers', 'cubs'] as const)
      await writeRun(folder, randomBackbone(), { task, method: 'xbm', accuracy: 80 });
  },
  'docs/hardware.md': async (folder) => {
    const backbone = randomBackbone();
    for (const method of ['xbm', 'piggyback', 'finetune'] as const)
      await writeRun(folder, backbone, { task: 'flowers', method, accuracy: 80 });
  },
};

let root: string;
let commands: ReadonlyMap<string, string>;
const used = new Set<RegExp>();
const home = process.env.XBM_HOME;
before(async () => {
  root = mkdtempSync(join(tmpdir(), 'xbm-docs-'));
  await writeWorld(root);
  commands = await commandHelps([]);
});
after(() => {
  if (home === undefined) delete process.env.XBM_HOME;
  else process.env.XBM_HOME = home;
  rmSync(root, { recursive: true, force: true });
});

/** Help texts of all commands, by their words: "", "train", "backbone import", … */
async function commandHelps(words: readonly string[]): Promise<Map<string, string>> {
  const io = fakeIo();
  assert.equal(await main([...words, '--help'], io), ExitCode.ok);
  const helps = new Map([[words.join(' '), io.out()]]);
  const list = /\nCommands:\n((?: {2,}.*\n)+)/.exec(io.out())?.[1] ?? '';
  for (const [, name] of list.matchAll(/^ {2}([\w-]+)/gm)) {
    if (name === 'help') continue;
    for (const [key, text] of await commandHelps([...words, name])) helps.set(key, text);
  }
  return helps;
}

interface Example {
  readonly words: readonly string[];
  readonly line: number;
}

/** The commands and settings of a document in their order: of blocks, and inline where the code is a whole command. */
function examplesOf({ fences, code }: Markdown): Example[] {
  const blocks = fences
    .filter(({ language }) => ['', 'sh', 'bash'].includes(language))
    .flatMap(({ text, line }) => {
      const script = /^\s*(xbm|npm|export) /m.test(text) ? shellCommands(text, line) : [];
      return script.filter(({ words: [first] }) => ['xbm', 'npm', 'export'].includes(first));
    });
  const inline = code
    .filter(({ text }) => /^(xbm|npm) /.test(text))
    .flatMap(({ text, line }) => shellCommands(text, line));
  return [...blocks, ...inline].sort((a, b) => a.line - b.line);
}

for (const document of documents) {
  const markdown = readMarkdown(join(packageRoot(), document));

  describe(document, () => {
    let cwd: string;
    const env: Record<string, string | undefined> = {};

    before(async () => {
      cwd = writeWorkFolder(root, document.replaceAll(/\W/g, '-'));
      process.env.XBM_HOME = join(cwd, 'home');
      await preparations[document]?.(cwd);
    });

    /** Runs a command that must succeed. @returns what it printed */
    async function xbm(words: readonly string[]): Promise<string> {
      const text = words.join(' ');
      const form = smallerForms.find(({ example }) => example.test(text));
      if (form) used.add(form.example);
      const argv = [...words.slice(1), ...(form?.add ?? [])].map(inThisWorld);
      const io = fakeIo({ cwd, env: { ...env, XBM_HOME: process.env.XBM_HOME } });
      const code = await main(argv, io);
      assert.equal(
        code,
        ExitCode.ok,
        `xbm ${argv.join(' ')}\n${io.err()}(test/docs/smallerForms.ts makes examples small)`,
      );
      return io.out();
    }

    /** The documents' /data is a folder of this test. */
    const inThisWorld = (text: string) =>
      text.replace(/(^|[\s=])\/data(?=\/|$|\s)/g, `$1${join(root, 'data')}`);

    const isCommand = (words: readonly string[]) => commands.has(words.slice(1).join(' '));

    markdown.fences
      .filter(({ language }) => language === 'yaml')
      .forEach(({ text, line }, i) => {
        test(`line ${line}: the YAML block is an experiment or a reproduction`, () => {
          const name = yamlFiles[document]?.[i] ?? `block-${i}.yaml`;
          writeFileSync(join(cwd, name), text);
          if (/^(tasks|experiments):/m.test(text)) {
            assert.ok(expandRuns(loadReproduction(name, cwd), { cwd }).length > 0);
            return;
          }
          const { data } = loadExperiment({ config: name, cwd });
          writeFileSync(join(cwd, name), inThisWorld(text));
          assert.ok(data.root === null || data.root.startsWith('/data'));
        });
      });

    for (const { words, line } of examplesOf(markdown)) {
      test(`line ${line}: ${words.join(' ')}`, async () => {
        const [program, ...rest] = words;
        if (program === 'npm') return requireScript(rest);
        if (program === 'export') {
          const [name, value] = rest[0].split('=');
          env[name] = inThisWorld(value);
          return;
        }
        const isMention = markdown.code.some((code) => code.line === line && code.text === words.join(' '));
        if (isMention && isCommand(words)) return;
        for (const form of expandOptional(words)) await xbm(form);
      });
    }

    const options = markdown.code.filter(({ text }) => text.startsWith('--'));
    const firstOnly = options.filter(
      ({ text }, i) => options.findIndex((other) => other.text === text) === i,
    );
    for (const { text, line } of firstOnly) {
      test(`line ${line}: option ${text}`, async () => {
        const [{ words }] = shellCommands(text);
        if (isOptionOfScript(document, words)) return;
        for (const flag of words.filter((word) => word.startsWith('--'))) {
          const [name] = flag.split('=');
          const isKnown = [...commands.values()].some((help) => new RegExp(`${name}(?![\\w-])`).test(help));
          assert.ok(isKnown, `no command has ${name}`);
        }
        const command = commandOfOptions[document];
        if (command !== undefined) await xbm([...command.split(' '), ...words]);
        else await requireSettings(words, xbm);
      });
    }

    test('links lead to files and headings that are there', () => {
      for (const link of markdown.links) requireTarget(document, link);
    });

    test('files of this project that are named are there', () => {
      const paths = markdown.code.filter(({ text }) =>
        /^(src|configs|docs|test|bench|scripts|assets)\/\S*$/.test(text),
      );
      for (const { text, line } of paths) {
        const path = join(packageRoot(), text.replace(/[*{<].*$/, ''));
        assert.ok(existsSync(path), `${document}:${line}: ${text} is not there`);
      }
    });
  });
}

/** `--set a.b=c` must be accepted, by experiments or by hardware descriptions. */
async function requireSettings(words: readonly string[], xbm: (words: readonly string[]) => Promise<string>) {
  const settings = words.filter((word, i) => words[i - 1] === '--set' && !/^(key|KEY)=/.test(word));
  for (const setting of settings) {
    const isExperiment = /^(data|backbone|method|training|hardware|engine|threads|task)\b/.test(setting);
    const command = isExperiment ? 'xbm config show --task cubs' : 'xbm hw-report --shares published';
    await xbm([...command.split(' '), '--set', setting]);
  }
}

function requireScript([verb, name]: readonly string[]): void {
  const { scripts } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'));
  const script = verb === 'run' ? name : verb;
  if (['ci', 'install', 'link'].includes(script)) return;
  assert.ok(script in scripts, `package.json has no script ${script}`);
}

function isOptionOfScript(document: string, [flag]: readonly string[]): boolean {
  const script = scriptOfOptions[document];
  if (script === undefined) return false;
  const source = readFileSync(join(packageRoot(), script), 'utf8');
  return new RegExp(`${flag}(?![\\w-])`).test(source);
}

function requireTarget(document: string, { text, line }: Inline): void {
  if (/^https?:/.test(text)) return;
  const [file, anchor] = text.split('#');
  const path = file === '' ? document : join(dirname(document), file);
  const where = `${document}:${line}: ${text}`;
  assert.ok(
    !relative('.', path).startsWith('..') && existsSync(join(packageRoot(), path)),
    `${where}: no such file`,
  );
  if (anchor) {
    assert.ok(readMarkdown(join(packageRoot(), path)).anchors.includes(anchor), `${where}: no such heading`);
  }
}

test('every command is in a document', () => {
  const text = documents.map((document) => readFileSync(join(packageRoot(), document), 'utf8')).join('\n');
  const names = [...commands.keys()].filter((name) => name !== '' && !name.includes(' '));
  assert.ok(names.length >= 10, names.join());
  for (const name of names) assert.match(text, new RegExp(`(xbm|npm run) ${name}\\b`));
});

test("README's exit codes are the program's", () => {
  const { rows } = readMarkdown(join(packageRoot(), 'README.md'));
  const codes = rows.filter(([cell]) => /^\d+$/.test(cell)).map(([cell]) => Number(cell));
  assert.deepEqual(codes, Object.values(ExitCode));
});

test("a run's folder holds the files that README names", () => {
  const runs = join(root, 'README-md', 'results', 'runs');
  const text = readFileSync(join(packageRoot(), 'README.md'), 'utf8');
  const section = /## What a run leaves behind\n([\s\S]*?)\n## /.exec(text)?.[1] ?? '';
  const names = [...section.matchAll(/`([\w-]+\.\w+)`/g)].map(([, name]) => name);
  assert.ok(names.length >= 6, names.join());
  for (const run of readdirSync(runs)) {
    assert.match(run, /^\w+-\w+-[0-9a-f]{8}-s\d+$/);
    const files = readdirSync(join(runs, run));
    for (const name of names)
      assert.equal(files.includes(name), !name.startsWith('checkpoint'), `${run}/${name}`);
    assert.ok(files.some((name) => name.startsWith('events.out.tfevents.')));
  }
});

test('every smaller form is that of some example', () => {
  for (const { example } of smallerForms)
    assert.ok(used.has(example), `${example} matches no example any more`);
});
