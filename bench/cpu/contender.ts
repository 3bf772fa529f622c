/** @file One measured process, ours or PyTorch's, that works only while it is asked to. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** What a process says first: the losses of its first two training steps, or the logits of one batch. */
export interface Outcome {
  readonly losses?: readonly number[];
  readonly logits?: readonly number[];
}

interface Round {
  readonly milliseconds: readonly number[];
  readonly peakMegabytes: number;
}

export class Contender {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #milliseconds: number[] = [];
  #errors = '';
  peakMegabytes = 0;

  private constructor(
    readonly name: string,
    command: readonly string[],
  ) {
    this.#child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.on('error', (error) => {
      this.#errors += error.message;
    });
    this.#child.stdin!.on('error', () => {}); // a process that ended is noticed by its missing answer
    this.#child.stderr!.on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-2000);
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Starts the process and waits for its first answer. */
  static async start(
    name: string,
    command: readonly string[],
  ): Promise<{ contender: Contender; outcome: Outcome }> {
    const contender = new Contender(name, command);
    try {
      return { contender, outcome: await contender.#answer<Outcome>() };
    } catch (error) {
      contender.stop();
      throw error;
    }
  }

  /** Lets the process work for some seconds and keeps the times of its steps. */
  async round(seconds: number): Promise<void> {
    const { milliseconds, peakMegabytes } = await this.ask<Round>(String(seconds));
    this.#milliseconds.push(...milliseconds);
    this.peakMegabytes = peakMegabytes;
  }

  ask<Answer>(request: string): Promise<Answer> {
    this.#child.stdin!.write(`${request}\n`);
    return this.#answer<Answer>();
  }

  /** Median time of a step over all rounds. */
  get median(): number {
    const sorted = this.#milliseconds.toSorted((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  /** Lets the process end by itself: only then is its profile complete. */
  async finish(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin!.end();
    await ended;
  }

  stop(): void {
    this.#child.kill();
  }

  async #answer<Answer>(): Promise<Answer> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done)
        throw new Error(`${this.name} ended: ${this.#errors.trim().split('\n').slice(-3).join(' | ')}`);
      if (/^[{[]/.test(value)) return JSON.parse(value);
      this.#errors = `${this.#errors}${value}\n`.slice(-2000); // libraries print where they should not
    }
  }
}
