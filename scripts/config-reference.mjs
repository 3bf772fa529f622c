// Writes docs/config.md from the experiment's schema; a test says when it is out of date.
//   npm run build && node scripts/config-reference.mjs
import { writeFileSync } from 'node:fs';
import { configReference } from '../dist/config/reference.js';

writeFileSync(new URL('../docs/config.md', import.meta.url), configReference());
