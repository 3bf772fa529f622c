/**
 * @file From int32 sums to the next levels, exactly. A convolution followed by batch norm, ReLU and a quantiser maps
 * the integer sum s to level round(a·s + b), clipped to 0 … top: a staircase over the integers. QLinearConv computes
 * round((M·s + bias) · scale) with an integer bias, where M multiplies the weights. Its bias is rounded, but any
 * (scale, bias) whose steps fall between the same integers gives the same levels, so we search for such a pair.
 */
import { roundHalfEven } from '../../../model/rounding.js';

/** One output channel: level = round(a · sum + b). */
export interface Staircase {
  readonly a: number;
  readonly b: number;
  /** Highest level; the lowest is 0. */
  readonly top: number;
  /** Smallest and largest sum that can occur. */
  readonly sums: readonly [number, number];
}

export interface Requantization {
  /** float32; negative where a is. */
  readonly scale: number;
  /** int32 */
  readonly bias: number;
  /** Steps that fall between other integers than those of the staircase; 0: the levels are exact. */
  readonly misplaced: number;
}

/** Biases stay below this, so that no int32 sum overflows. */
const MAX_BIAS = 2 ** 30;

/** @param multiplier M, at least 1 */
export function requantize(staircase: Staircase, multiplier: number): Requantization {
  const { a, b, top, sums } = staircase;
  if (a < 0) {
    const mirrored = requantize({ a: -a, b, top, sums: [-sums[1], -sums[0]] }, multiplier);
    return { ...mirrored, scale: -mirrored.scale, bias: 0 - mirrored.bias };
  }
  // A channel that hardly depends on its sums keeps its offset: a is raised until the bias fits.
  const offset = Math.max(-1 - a * sums[1], Math.min(top + 1 - a * sums[0], b));
  const slope = Math.max(a, (multiplier * Math.abs(offset)) / MAX_BIAS, 1e-12);
  const steps = stepsOf(staircase);
  const ideal = (multiplier * offset) / slope;
  let best: Requantization | undefined;
  for (const bias of nearby(Math.round(ideal), multiplier)) {
    const scale = Math.fround(scaleFor(steps, bias, multiplier) ?? slope / multiplier);
    const misplaced = countMisplaced(staircase, steps, { scale, bias }, multiplier);
    if (!best || misplaced < best.misplaced) best = { scale, bias, misplaced };
    if (misplaced === 0) break;
  }
  return best!;
}

/** The level that QLinearConv computes, in its own float32 arithmetic. */
export function requantizedLevel(
  sum: number,
  { scale, bias }: Pick<Requantization, 'scale' | 'bias'>,
  multiplier: number,
  top: number,
): number {
  const value = roundHalfEven(Math.fround(Math.fround(multiplier * sum + bias) * scale));
  return Math.max(0, Math.min(top, value));
}

/** A step up to `level` between the sums first − 1 and first. */
interface Step {
  readonly level: number;
  readonly first: number;
}

/** The steps that lie within the sums that can occur. */
function stepsOf({ a, b, top, sums: [lowest, highest] }: Staircase): Step[] {
  const steps: Step[] = [];
  for (let level = 1; level <= top && a > 0; level++) {
    let first = Math.ceil((level - 0.5 - b) / a);
    // Ties go to the even level, and the quotient is rounded.
    if (roundHalfEven(a * first + b) < level) first++;
    else if (roundHalfEven(a * (first - 1) + b) >= level) first--;
    if (first > lowest && first <= highest) steps.push({ level, first });
  }
  return steps;
}

/** The scale in the middle of those that put every step where it belongs; undefined when there is none. */
function scaleFor(steps: readonly Step[], bias: number, multiplier: number): number | undefined {
  let [low, high] = [0, Number.POSITIVE_INFINITY];
  for (const { level, first } of steps) {
    low = Math.max(low, (multiplier * (first - 1) + bias) / (level - 0.5));
    high = Math.min(high, (multiplier * first + bias) / (level - 0.5));
  }
  return low < high && Number.isFinite(high) ? 2 / (low + high) : undefined;
}

function countMisplaced(
  { a, b, top, sums }: Staircase,
  steps: readonly Step[],
  candidate: Pick<Requantization, 'scale' | 'bias'>,
  multiplier: number,
): number {
  const levelOf = (sum: number) => requantizedLevel(sum, candidate, multiplier, top);
  const wrongSteps = steps.filter(
    ({ level, first }) => levelOf(first) < level || levelOf(first - 1) >= level,
  );
  // With the right level at both ends, no step from outside has come in.
  const expected = (sum: number) => Math.max(0, Math.min(top, roundHalfEven(a * sum + b)));
  const wrongEnds = sums.filter((sum) => levelOf(sum) !== expected(sum));
  return wrongSteps.length + wrongEnds.length;
}

/** center, then its neighbours at growing distance. */
function* nearby(center: number, distance: number): Generator<number> {
  yield center;
  for (let d = 1; d <= distance; d++) {
    yield center + d;
    yield center - d;
  }
}
