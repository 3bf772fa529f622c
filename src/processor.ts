import { cpus } from 'node:os';

/** The model of this machine's processor in its maker's words; some systems have none. */
export const processorModel = (): string => cpus()[0]?.model.trim() || 'unknown';
