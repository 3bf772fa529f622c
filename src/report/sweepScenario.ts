/** @file What the points of a sweep have in common. */
import type { HardwareDescription } from '../hardware/description.js';
import type { CrossbarNetwork } from '../hardware/network.js';
import type { Scenario } from '../hardware/sweep.js';

/** As printed with `--json`: docs/hardware.md. */
export interface SweepScenario {
  readonly network: string;
  /** One image in words: `224×224`. */
  readonly input: string;
  readonly preset: string;
  /** Constants and policies of the preset that are others here, `key=value`. */
  readonly set: readonly string[];
  readonly task: string;
  /** Of the head; null: the network has none. */
  readonly classes: number | null;
  readonly testImages: number;
  /** The run whose learned masks are priced; null: masks are a share. */
  readonly run: string | null;
  /** Of the mask bits; null: swept. */
  readonly xbmShareOffPercent: number | null;
  /** Of the weights; null: unknown. */
  readonly piggybackShareOffPercent: number | null;
}

/** @param axes keys that are swept */
export function sweepScenario(
  { network, input, layers }: CrossbarNetwork,
  hardware: HardwareDescription,
  { shareOff, piggybackShareOff, testImages }: Scenario,
  named: Pick<SweepScenario, 'task' | 'run' | 'set'>,
  axes: readonly string[],
): SweepScenario {
  return {
    network,
    input,
    preset: hardware.name,
    set: named.set,
    task: named.task,
    classes: layers.find(({ head }) => head)?.outputs ?? null,
    testImages,
    run: named.run,
    xbmShareOffPercent: axes.includes('mask.shareOff') ? null : percent(shareOff),
    piggybackShareOffPercent: piggybackShareOff === null ? null : percent(piggybackShareOff),
  };
}

/** Without the digits that dividing by 100 and multiplying again may leave. */
const percent = (share: number): number => Number((100 * share).toPrecision(12));

/** For people: what is priced on what, the task, what is switched off. */
export function scenarioLines(scenario: SweepScenario): [string, string, string] {
  const { network, input, preset, set, task, classes, testImages, run } = scenario;
  const { xbmShareOffPercent: xbm, piggybackShareOffPercent: piggyback } = scenario;
  const share = (value: number): string => `${Number(value.toFixed(2))} %`;
  const overrides = set.length > 0 ? ` with ${set.join(', ')}` : '';
  const head = classes === null ? '' : `${classes} classes, `;
  const masks = run === null ? '' : ` (masks of ${run})`;
  const weights = piggyback === null ? '' : `, Piggyback ${share(piggyback)} of weights`;
  return [
    `${network} at ${input} on ${preset}${overrides}`,
    `task ${task}: ${head}${testImages.toLocaleString('en-US')} test images`,
    `off: XBM ${xbm === null ? 'as swept' : `${share(xbm)} of columns`}${masks}${weights}`,
  ];
}
