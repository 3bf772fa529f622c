/** At most two steps in flight, so that an engine always has the next one at hand. */
const MAX_STEPS_IN_FLIGHT = 2;

/** The submitted steps of a session that are not done. */
export class StepQueue {
  readonly #inFlight: Promise<void>[] = [];

  /** Resolves when another step may be submitted. */
  async room(): Promise<void> {
    while (this.#inFlight.length >= MAX_STEPS_IN_FLIGHT) await this.#inFlight[0];
  }

  /** Takes in a step. Its failure reaches the caller through `metrics`; here it only has to leave the queue. */
  add(metrics: Promise<unknown>): void {
    const leave = () => {
      this.#inFlight.splice(this.#inFlight.indexOf(settled), 1);
    };
    const settled: Promise<void> = metrics.then(leave, leave);
    this.#inFlight.push(settled);
  }

  /** Resolves when all steps are done, failed ones included. */
  async idle(): Promise<void> {
    await Promise.all(this.#inFlight);
  }
}
