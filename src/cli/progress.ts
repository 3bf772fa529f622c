import { formatDuration, formatNumber } from './format.js';
import type { Io } from './io.js';

export interface ProgressOptions {
  /** What is being done: "flowers: epoch 3/30". */
  readonly label: string;
  /** 0 when it is only known later; see {@link Progress.setTotal}. */
  readonly total: number;
  /** What is counted: "images". */
  readonly unit: string;
  /** Done before this process started, as after a resume; not part of the rate. */
  readonly start?: number;
  /** Milliseconds; tests pass their own clock. */
  readonly now?: () => number;
}

export interface Progress {
  /** @param note a few words that change: "loss 1.23, 61.5 %" */
  update(done: number, note?: string): void;
  /** Work that finds out on the way how much there is. */
  setTotal(total: number): void;
}

/** Milliseconds between two plain lines. */
const LINE_INTERVAL = 10_000;

/**
 * Shows progress on stderr while `body` runs: a bar on a terminal, else one plain line every ten seconds and one at
 * the end. Nothing is shown before the first update, so work that turns out to be done already stays silent; nothing
 * keeps running when `body` throws.
 */
export async function withProgress<T>(
  io: Io,
  options: ProgressOptions,
  body: (progress: Progress) => Promise<T>,
): Promise<T> {
  const display = io.isTerminal ? await barDisplay(io, options) : lineDisplay(io, options);
  try {
    const result = await body(display);
    display.finish();
    return result;
  } finally {
    display.stop();
  }
}

interface Display extends Progress {
  /** The body ended well. */
  finish(): void;
  /** Lets go of timers and the terminal. */
  stop(): void;
}

function lineDisplay(io: Io, options: ProgressOptions): Display {
  const now = options.now ?? Date.now;
  const meter = new RateMeter(options.start ?? 0, now());
  const begin = now();
  let lastLine = begin;
  let { total } = options;
  let last: { done: number; note: string } | undefined;
  const line = (tail: string): void => {
    if (!last) return;
    const { done, note } = last;
    const parts = [`${done}/${total} ${options.unit}`, rateText(meter, options.unit), tail, note];
    io.stderr(`${options.label}: ${parts.filter(Boolean).join(', ')}\n`);
    lastLine = now();
  };
  return {
    update(done, note = '') {
      last = { done, note };
      meter.add(done, now());
      if (now() - lastLine >= LINE_INTERVAL) line(leftText(meter, total - done));
    },
    setTotal(value) {
      total = value;
    },
    finish: () => line(`done in ${formatDuration((now() - begin) / 1000)}`),
    stop: () => {},
  };
}

async function barDisplay(io: Io, options: ProgressOptions): Promise<Display> {
  const { default: cliProgress } = await import('cli-progress');
  const now = options.now ?? Date.now;
  const meter = new RateMeter(options.start ?? 0, now());
  // The bar draws through Io; it needs the terminal's properties, not its socket.
  const stream = Object.assign(Object.create(process.stderr), { isTTY: true, write: io.stderr });
  const bar = new cliProgress.SingleBar(
    {
      format: '{label} {bar} {value}/{total} {unit}{rate}{left}{note}',
      stream,
      barsize: 24,
      gracefulExit: false,
      hideCursor: null,
    },
    cliProgress.Presets.shades_classic,
  );
  const { label, unit } = options;
  let { total } = options;
  let started = false;
  const comma = (text: string): string => (text ? `, ${text}` : '');
  return {
    update(done, note = '') {
      meter.add(done, now());
      const left = leftText(meter, total - done);
      const shown = { label, unit, rate: comma(rateText(meter, unit)), left: comma(left), note: comma(note) };
      if (started) bar.update(done, shown);
      else bar.start(total, done, shown);
      started = true;
    },
    setTotal(value) {
      total = value;
      bar.setTotal(value);
    },
    finish: () => {},
    stop: () => bar.stop(),
  };
}

function rateText(meter: RateMeter, unit: string): string {
  const rate = meter.perSecond();
  return rate === undefined ? '' : `${formatNumber(rate)} ${unit}/s`;
}

function leftText(meter: RateMeter, remaining: number): string {
  const rate = meter.perSecond();
  return rate === undefined || rate === 0 ? '' : `${formatDuration(remaining / rate)} left`;
}

/** The rate over the last half minute, so that a slow start does not spoil the time left. */
export class RateMeter {
  private readonly samples: { done: number; at: number }[];

  /** @param at milliseconds */
  constructor(done: number, at: number) {
    this.samples = [{ done, at }];
  }

  add(done: number, at: number): void {
    this.samples.push({ done, at });
    while (this.samples.length > 2 && at - this.samples[1].at >= 30_000) this.samples.shift();
  }

  /** undefined until time has passed. */
  perSecond(): number | undefined {
    const [first] = this.samples;
    const last = this.samples[this.samples.length - 1];
    return last.at > first.at ? ((last.done - first.done) * 1000) / (last.at - first.at) : undefined;
  }
}
