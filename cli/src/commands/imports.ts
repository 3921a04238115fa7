import type { Command } from 'commander';
import { IMPORT } from '../answers.ts';
import type { Act } from '../context.ts';
import { cancelAt } from './cancel.ts';

export function addImports(program: Command, act: Act): void {
  program
    .command('imports')
    .description('imports of contacts that were begun')
    .command('cancel')
    .argument('<id>')
    .description('end one: what was imported stays, the rest is not')
    .action(act(cancelAt('imports', IMPORT)));
}
