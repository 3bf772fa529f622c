import type { TaskState } from '../../adaption/parameters.js';
import type { Engine, EngineOptions, InferencePlan, TrainingPlan } from '../engine.js';
import { describeBackend, startBackend } from './backend.js';
import { TfjsInferenceSession } from './inferenceSession.js';
import { TfjsTrainingSession } from './trainingSession.js';

/** Starts the best TensorFlow backend present. */
export async function createTfjsEngine(options: EngineOptions): Promise<Engine> {
  const backend = await startBackend(options.threads);
  return {
    name: 'tfjs',
    inference: 'tfjs',
    device: describeBackend(backend),
    gradientPrecision: 'float32',
    openTraining: async (plan: TrainingPlan, state: TaskState) => new TfjsTrainingSession(plan, state),
    openInference: async (plan: InferencePlan) => new TfjsInferenceSession(plan),
  };
}
