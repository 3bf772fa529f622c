import { escapeXml } from '../../../escapeXml.js';
import { type RunGroup, runAnchor } from '../groups.js';
import type { ExperimentRun } from '../types.js';
import { filterAttributes, relativeLink } from './attributes.js';

/** Command, config, folder and facts of every run of a group. */
export function htmlRuns(group: RunGroup): string {
  return [
    `<section class="run" id="${group.id}"${filterAttributes(group)}>`,
    `<h3>${escapeXml(`${group.task} · ${group.label} · ${group.precision}`)}</h3>`,
    ...group.runs.map((run) => htmlRun(group, run)),
    '</section>',
  ].join('\n');
}

function htmlRun(group: RunGroup, run: ExperimentRun): string {
  const { summary, folder, command, configText } = run;
  const count = (value: number) => value.toLocaleString('en-US');
  const seed = `seed ${summary.seed}`;
  const what = `${group.task}, ${group.label}, ${seed}`;
  const facts = [
    `${summary.accuracy.toFixed(2)} % of ${count(summary.testImages)} test images`,
    ...(summary.maskBits > 0
      ? [`${summary.shareOff.toFixed(2)} % of ${count(summary.maskBits)} mask bits off`]
      : []),
    `${summary.epochs} epochs of ${count(summary.trainImages)} images at ${summary.imageSize} px, batch ${summary.batchSize}`,
    `engine ${summary.engine}`,
  ];
  const origin = `config ${summary.configHash.slice(0, 16)} · backbone ${summary.network} ${summary.backboneSha256.slice(0, 16)}`;
  const link = `<a href="${escapeXml(relativeLink(folder))}">${escapeXml(folder)}</a>`;
  return [
    `<div class="seed" id="${runAnchor(group, summary.seed)}">`,
    `<h4>Seed ${summary.seed}</h4>`,
    `<p>${escapeXml(facts.join(' · '))}</p>`,
    `<p>${escapeXml(origin)} · ${link}</p>`,
    htmlCode(command, `Command of ${what}`),
    `<details><summary>Config of ${escapeXml(seed)}</summary>${htmlCode(configText, `Config of ${what}`)}</details>`,
    '</div>',
  ].join('\n');
}

/** Text as it is, scrollable by keyboard. */
export function htmlCode(text: string, label: string): string {
  return `<pre tabindex="0" role="region" aria-label="${escapeXml(label)}"><code>${escapeXml(text.replace(/\n$/, ''))}</code></pre>`;
}
