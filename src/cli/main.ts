import { Command, CommanderError } from 'commander';
import { ExitCode } from '../errors.js';
import { packageVersion } from '../paths.js';
import { registerBackbone } from './backbone.js';
import { registerConfig } from './config.js';
import { registerData } from './data.js';
import { registerEngines } from './engines.js';
import { registerEval } from './eval.js';
import { registerExport } from './export.js';
import { describeFailure } from './failure.js';
import { registerHwReport } from './hw-report.js';
import { type Io, processIo } from './io.js';
import { registerMasks } from './masks.js';
import { registerQuickstart } from './quickstart.js';
import { registerReproduce } from './reproduce.js';
import { registerRuns } from './runs.js';
import { registerSweep } from './sweep.js';
import { registerTrain } from './train.js';

/** Every command's file adds itself here; its action imports heavy modules only when it runs. */
const commands: readonly ((program: Command, io: Io) => void)[] = [
  registerTrain,
  registerEval,
  registerMasks,
  registerRuns,
  registerExport,
  registerReproduce,
  registerQuickstart,
  registerHwReport,
  registerBackbone,
  registerSweep,
  registerConfig,
  registerData,
  registerEngines,
];

const exitCodes = `
Exit codes:
  0    success
  1    a bug in xbm (a stack trace is printed)
  2    bad input: an argument, a config, a data set, a weights file
  3    something this machine lacks: an engine, memory, disk space
  4    a check failed: NaN loss, a changed backbone, a failed verification
  130  interrupted by Ctrl-C, SIGTERM or SIGHUP; everything written so far is intact
`;

/** The whole command line, ready to parse. */
function buildProgram(io: Io): Command {
  const program = new Command('xbm')
    .description('Multi-task adaption on ReRAM crossbars: train, evaluate and cost column-wise binary masks.')
    .version(packageVersion())
    .exitOverride()
    .configureOutput({
      writeOut: io.stdout,
      writeErr: io.stderr,
      outputError: (text, write) => write(text.replace(/^error: /, 'xbm: ')),
    })
    .showHelpAfterError('Add --help for usage.')
    .addHelpText('after', exitCodes);
  for (const register of commands) register(program, io);
  return program;
}

/**
 * Runs the program.
 * @param argv the arguments after `xbm`
 * @returns the exit code; nothing is thrown
 */
export async function main(argv: string[], io: Io = processIo()): Promise<number> {
  const exitCode = await runCommand(argv, io);
  const lost = await io.lostResults?.();
  if (!lost) return exitCode;
  io.stderr(describeFailure(lost).text);
  return exitCode === ExitCode.ok ? lost.exitCode : exitCode;
}

async function runCommand(argv: string[], io: Io): Promise<number> {
  try {
    await buildProgram(io).parseAsync(argv, { from: 'user' });
    return ExitCode.ok;
  } catch (error) {
    // Commander has printed its message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    const failure = describeFailure(error);
    io.stderr(failure.text);
    return failure.exitCode;
  }
}
