import * as tf from '@tensorflow/tfjs';
import type { OptimizerSpec } from '../../adaption/method.js';
import { momentNames, type TaskState, type TaskTensorSpec } from '../../adaption/parameters.js';

/** A task's tensors and moments on the device, by name; replaces values and frees the old ones. */
export class DeviceTensors {
  readonly #values = new Map<string, tf.Tensor>();

  /** Uploads a state. */
  static upload(specs: readonly TaskTensorSpec[], state: TaskState, optimizer: OptimizerSpec): DeviceTensors {
    const device = new DeviceTensors();
    const add = (name: string, values: Float32Array | undefined, shape: readonly number[]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      if (values?.length !== size) {
        device.dispose();
        throw new Error(`task state: ${name} has ${values?.length ?? 'no'} values, expected ${size}`);
      }
      device.#values.set(name, tf.tensor(values.slice(), [...shape], 'float32'));
    };
    for (const { name, shape, role } of specs) {
      add(name, state.tensors[name], shape);
      if (role !== 'trained') continue;
      for (const moment of momentNames(name, optimizer.kind)) add(moment, state.moments[moment], shape);
    }
    return device;
  }

  get(name: string): tf.Tensor {
    const tensor = this.#values.get(name);
    if (!tensor) throw new Error(`no tensor named ${name} in this task`);
    return tensor;
  }

  /** Takes over the tensor. */
  replace(name: string, tensor: tf.Tensor): void {
    this.get(name).dispose();
    this.#values.set(name, tensor);
  }

  /** A host copy. */
  async read(name: string): Promise<Float32Array> {
    return (await this.get(name).data<'float32'>()).slice();
  }

  dispose(): void {
    for (const tensor of this.#values.values()) tensor.dispose();
    this.#values.clear();
  }
}
