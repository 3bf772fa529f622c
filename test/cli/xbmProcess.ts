/** @file xbm as a process of its own, for tests that kill it: `node xbmProcess.js ARGUMENTS`. */
import { main } from '../../src/cli/main.js';

process.exitCode = await main(process.argv.slice(2));
