import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { SetupError } from './failure.mjs';

export const usage = `Installs TensorFlow's native library for TensorFlow.js, the reference engine. Nothing else needs it.

  npm run setup:tensorflow                      the official download, else the TensorFlow wheel that pip finds
  npm run setup:tensorflow -- --from DIR        from a folder: an unpacked libtensorflow, an unpacked wheel, a folder
                                                with a wheel in it, or another machine's @tensorflow/tfjs-node
  npm run setup:tensorflow -- --wheel FILE      from a TensorFlow wheel (.whl), built with this machine's compiler
  npm run setup:tensorflow -- --gpu             for @tensorflow/tfjs-node-gpu (CUDA); goes with the others
  npm run setup:tensorflow -- --force           again, although a complete installation is there
  npm run setup:tensorflow -- --remove          takes the native library out again

See docs/tensorflow.md.`;

/**
 * @param {string[]} args
 * @returns {{ from?: string, wheel?: string, gpu: boolean, force: boolean, remove: boolean, help: boolean }}
 */
export function parseOptions(args) {
  const flag = { type: 'boolean', default: false };
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        from: { type: 'string' },
        wheel: { type: 'string' },
        gpu: flag,
        force: flag,
        remove: flag,
        help: flag,
      },
    }));
  } catch (error) {
    throw new SetupError(error.message, 'npm run setup:tensorflow -- --help lists the options.');
  }
  const actions = ['from', 'wheel', 'remove'].filter((name) => values[name]);
  if (actions.length > 1)
    throw new SetupError(`--${actions.join(' and --')} exclude each other`, 'Give one.');
  if (values.from !== undefined) values.from = resolve(values.from);
  if (values.wheel !== undefined) values.wheel = resolve(values.wheel);
  return values;
}
