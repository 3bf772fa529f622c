/** Reads a stream of chunks piece by piece. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array(0);

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** Fills `target` with the next bytes. @returns how many there were, fewer than its length only at the end */
  async readInto(target: Uint8Array): Promise<number> {
    let done = 0;
    while (done < target.length && (await this.#fill())) {
      const part = this.#rest.subarray(0, target.length - done);
      target.set(part, done);
      this.#rest = this.#rest.subarray(part.length);
      done += part.length;
    }
    return done;
  }

  async atEnd(): Promise<boolean> {
    return !(await this.#fill());
  }

  /** Has at least one byte ready, unless the stream is over. */
  async #fill(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return false;
      this.#rest = next.value as Uint8Array<ArrayBuffer>;
    }
    return true;
  }
}
