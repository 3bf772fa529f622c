/** @file Compiles a model in ONNX Runtime's CPU provider. Imported by worker threads only. */
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import type { WorkerOptions } from './protocol.js';

export type Session = ort.InferenceSession;

/** @param bytes an encoded ONNX model */
export function createSession(bytes: Uint8Array, options: WorkerOptions): Promise<Session> {
  return ort.InferenceSession.create(bytes, {
    executionProviders: ['cpu'],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // The pattern is known after the first run, whose own memory then stays allocated beside it: 3.2 instead of 1.9 GB.
    enableMemPattern: false,
    // The quantisation rewrites drop ReLUs in front of QuantizeLinear whatever its zero point, which ours relies on.
    extra: { session: { disable_quant_qdq: '1' } },
    // Errors only: graph clean-up warnings about our own constants help nobody.
    logSeverityLevel: 3,
    ...(options.profile ? { enableProfiling: true, profileFilePrefix: join(options.profile, 'onnx') } : {}),
  });
}
