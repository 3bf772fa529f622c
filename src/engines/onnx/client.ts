import { Worker } from 'node:worker_threads';
import { ExitCode, UserError } from '../../errors.js';
import type { WorkerCall, WorkerCalls, WorkerInput, WorkerRequest, WorkerResponse } from './protocol.js';

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** The main thread's end of a session's worker: sends requests, matches answers. */
export class WorkerClient {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #advice: string;
  #nextId = 0;
  #dead: Error | null = null;

  private constructor(input: WorkerInput) {
    const { batchSize, imageSize } = input.plan;
    this.#advice = `The batch is ${batchSize} images of ${imageSize} px: a smaller training.batchSize needs less memory.`;
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: input });
    this.#worker.on('message', (response: WorkerResponse) => this.#settle(response));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the onnx engine is closed')));
  }

  /** Starts the worker and waits until its model is compiled. */
  static async open(input: WorkerInput): Promise<WorkerClient> {
    const client = new WorkerClient(input);
    try {
      await client.call('ready', null);
    } catch (error) {
      await client.terminate();
      throw error;
    }
    return client;
  }

  call<C extends WorkerCall>(
    call: C,
    argument: WorkerCalls[C]['argument'],
  ): Promise<WorkerCalls[C]['result']> {
    if (this.#dead) return Promise.reject(this.#dead);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject });
      this.#worker.postMessage({ id, call, argument } satisfies WorkerRequest<C>);
    });
  }

  /** Frees the session; later calls reject. */
  async close(): Promise<void> {
    if (this.#dead) return;
    await this.call('close', null);
    await this.terminate();
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(response: WorkerResponse): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ('error' in response) pending?.reject(this.#explain(response.error));
    else pending?.resolve(response.result);
  }

  #fail(error: Error): void {
    this.#dead ??= this.#explain(error.message);
    for (const pending of this.#pending.values()) pending.reject(this.#dead);
    this.#pending.clear();
  }

  /** ONNX Runtime reports a failed allocation in words only. */
  #explain(message: string): Error {
    if (/bad_alloc|failed to allocate|out of memory|allocation failed/i.test(message)) {
      return new UserError(
        `out of memory in the onnx engine: ${message}`,
        this.#advice,
        ExitCode.unavailable,
      );
    }
    return new Error(`onnx engine: ${message}`);
  }
}
