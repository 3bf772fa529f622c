import { packageVersion } from '../paths.js';
import type { ExportRequest } from './exportModel.js';

/** The ONNX file's metadata_props: strings, those that hold more than one value in JSON. */
export function exportMetadata({ backbone, tasks, precision }: ExportRequest): Record<string, string> {
  const { imageSize } = tasks[0].task;
  const { mean, std } = backbone.normalization;
  return {
    format: 'xbm-export-1',
    programVersion: packageVersion(),
    network: backbone.graph.network,
    precision,
    weightBits: String(backbone.weightBits),
    activationBits: String(backbone.activationBits),
    backboneSha256: backbone.sha256,
    preprocessing: JSON.stringify({
      input: `pixels: uint8 [batch, ${imageSize}, ${imageSize}, 3], rows, columns, RGB; 0 … 255 as decoded, sRGB`,
      resize: tasks.map(({ resize }) => resize),
      // The model does this itself.
      normalization: { inModel: true, mean, std },
    }),
    tasks: JSON.stringify(
      tasks.map(({ name, task }) => ({
        name,
        method: task.method.name,
        classes: task.classes,
        configHash: task.configHash,
        trainedWith: task.programVersion,
      })),
    ),
  };
}
