interface Named {
  readonly task: string;
  readonly name: string | null;
}

/** The task; of a folder of images the experiment's name. */
export function taskLabel({ task, name }: Named): string {
  return task === 'folder' ? (name ?? task) : task;
}

/** Whether `--task` means it: by its task or its experiment name. */
export function isOfTask({ task, name }: Named, wanted: string | undefined): boolean {
  return wanted === undefined || task === wanted || name === wanted;
}
