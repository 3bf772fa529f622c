/** @file Worker threads that answer jobs; they never keep the process alive while nobody waits. */
import { isMainThread, parentPort, type TransferListItem, Worker } from 'node:worker_threads';
import { type ExitCodeValue, UserError } from '../errors.js';

type Answer<Result> = { id: number } & (
  | { result: Result }
  | { userError: { message: string; hint?: string; exitCode: ExitCodeValue } }
  | { bug: string }
);

interface Waiting<Result> {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

interface Thread<Result> {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting<Result>>;
}

/** A fixed number of threads that run one module; its jobs are answered by `answerJobs` there. */
export class WorkerPool<Job, Result> {
  private readonly threads: Thread<Result>[];
  private jobs = 0;
  private failure: Error | undefined;

  constructor(module: URL, size: number, data?: unknown) {
    this.threads = Array.from({ length: size }, () => {
      const thread: Thread<Result> = { worker: new Worker(module, { workerData: data }), waiting: new Map() };
      thread.worker.on('message', (answer: Answer<Result>) => this.settle(thread, answer));
      thread.worker.on('error', (error) => this.fail(error));
      thread.worker.on('exit', (code) => this.fail(new Error(`a worker thread ended with code ${code}`)));
      // After the listeners: adding one makes the thread count again.
      thread.worker.unref();
      return thread;
    });
  }

  get size(): number {
    return this.threads.length;
  }

  /** Gives a job to the thread with the fewest; the caller limits how many are under way. */
  run(job: Job, transfer: TransferListItem[] = []): Promise<Result> {
    if (this.failure) return Promise.reject(this.failure);
    const thread = this.threads.reduce((best, other) =>
      other.waiting.size < best.waiting.size ? other : best,
    );
    const id = this.jobs++;
    return new Promise((resolve, reject) => {
      if (thread.waiting.size === 0) thread.worker.ref();
      thread.waiting.set(id, { resolve, reject });
      thread.worker.postMessage({ id, job }, transfer);
    });
  }

  /** Ends the threads; jobs under way are rejected. */
  async close(): Promise<void> {
    this.fail(new Error('the worker threads were closed'));
    // A thread counts while it ends (`terminate` sees to that), or the process could end before the caller goes on.
    await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
  }

  private settle(thread: Thread<Result>, answer: Answer<Result>): void {
    const waiting = thread.waiting.get(answer.id);
    // A late answer of a thread that is being closed: it must not stop counting now.
    if (!waiting) return;
    thread.waiting.delete(answer.id);
    if (thread.waiting.size === 0) thread.worker.unref();
    if ('result' in answer) waiting.resolve(answer.result);
    else if ('bug' in answer) waiting.reject(new Error(answer.bug));
    else {
      const { message, hint, exitCode } = answer.userError;
      waiting.reject(new UserError(message, hint, exitCode));
    }
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const thread of this.threads) {
      if (thread.waiting.size === 0) continue;
      for (const waiting of thread.waiting.values()) waiting.reject(this.failure);
      thread.waiting.clear();
      thread.worker.unref();
    }
  }
}

/** Inside a worker thread: answers each job, one after the other. */
export function answerJobs<Job, Result>(
  answer: (job: Job) => Result | Promise<Result>,
  transferred: (result: Result) => TransferListItem[],
): void {
  if (isMainThread || !parentPort) throw new Error('this module runs only in a worker thread');
  const port = parentPort;
  let queue = Promise.resolve();
  port.on('message', ({ id, job }: { id: number; job: Job }) => {
    queue = queue.then(async () => {
      try {
        const result = await answer(job);
        port.postMessage({ id, result }, transferred(result));
      } catch (error) {
        if (error instanceof UserError) {
          const { message, hint, exitCode } = error;
          port.postMessage({ id, userError: { message, hint, exitCode } });
        } else port.postMessage({ id, bug: (error as Error).stack ?? String(error) });
      }
    });
  });
}
