/** Gradients of layers' outputs while a backward pass is emitted: every reader of a layer hands back one. */
export class Gradients<Tensor> {
  readonly #parts = new Map<string, Tensor[]>();

  /**
   * @param make a new tensor for a gradient of the layer's output
   * @param add emits the sum of two such gradients
   */
  constructor(
    private readonly make: (layer: string) => Tensor,
    private readonly add: (layer: string, a: Tensor, b: Tensor) => Tensor,
  ) {}

  /** A new gradient of a layer's output, to be written by its reader. */
  owe(layer: string): Tensor {
    const tensor = this.make(layer);
    this.#parts.set(layer, [...this.parts(layer), tensor]);
    return tensor;
  }

  /** What its readers handed back so far. */
  parts(layer: string): readonly Tensor[] {
    return this.#parts.get(layer) ?? [];
  }

  /** The gradient of an output in one tensor: what its readers handed back, added up. */
  sum(layer: string): Tensor {
    const parts = this.parts(layer);
    if (parts.length === 0) throw new Error(`nothing hands back a gradient of ${layer}`);
    return parts.reduce((a, b) => this.add(layer, a, b));
  }
}
