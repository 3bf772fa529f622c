/** @file The metadata of a task file: safetensors metadata are strings, so this is where they get types. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import type { MethodSpec } from './method.js';
import type { Task } from './task.js';

export const TASK_FORMAT = 'xbm-task-1';

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'no JSON' });
    return z.NEVER;
  }
});

const maskSchema = z.strictObject({
  granularity: z.enum(['element', 'kernel', 'column', 'channel']),
  rows: z.int().min(1),
  binarizer: z.enum(['sigmoid', 'identity']),
  threshold: z.number(),
  slope: z.number().positive(),
  noise: z.boolean(),
  initialScore: z.number(),
});

const methodSchema = z
  .strictObject({
    name: z.enum(['xbm', 'piggyback', 'finetune', 'classifier']),
    mask: maskSchema.nullable(),
    trainWeights: z.boolean(),
    trainBatchNorm: z.boolean(),
  })
  .refine((method) => !(method.mask && method.trainWeights));

const schema = z.object({
  format: z.literal(TASK_FORMAT),
  network: z.string().max(100),
  method: json.pipe(methodSchema),
  classes: json.pipe(z.array(z.string().max(1000)).min(1).max(100_000)),
  imageSize: z
    .string()
    .regex(/^\d{1,4}$/)
    .transform(Number),
  /** 32 for full precision. */
  weightBits: z
    .string()
    .regex(/^[2-8]$|^32$/)
    .transform(Number),
  backboneSha256: z.string().regex(/^[0-9a-f]{64}$/),
  configHash: z.string().max(100),
  programVersion: z.string().max(100),
});

export type TaskMetadata = z.infer<typeof schema> & { method: MethodSpec };

export function taskMetadata(task: Task): Record<string, string> {
  const first = Object.values(task.convs).find((weights) => weights.kind === 'levels');
  return {
    format: TASK_FORMAT,
    network: task.graph.network,
    method: JSON.stringify(task.method),
    classes: JSON.stringify(task.classes),
    imageSize: String(task.imageSize),
    weightBits: String(first?.kind === 'levels' ? first.bits : 32),
    backboneSha256: task.backboneSha256,
    configHash: task.configHash,
    programVersion: task.programVersion,
  };
}

/** @throws UserError when the file is not a task or its metadata are not usable */
export function parseTaskMetadata(path: string, metadata: Readonly<Record<string, string>>): TaskMetadata {
  if (metadata.format !== TASK_FORMAT) {
    throw new UserError(
      `${path}: is no task file (metadata "format" is not "${TASK_FORMAT}")`,
      'Name a task.safetensors that `xbm train` wrote.',
    );
  }
  const result = schema.safeParse(metadata);
  if (result.success) return result.data;
  const keys = [...new Set(result.error.issues.map((issue) => String(issue.path[0])))].join(', ');
  throw new UserError(`${path}: metadata of the task not usable: ${keys}`, 'Train the task again.');
}
