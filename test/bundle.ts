// `node test/bundle.ts DIR` writes the platform's programs into DIR, which it makes, with all they load in few files: a process that looks for
// two thousand modules one by one is busy with that for as long as with a test.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { rolldown, type Plugin } from 'rolldown';

const ROOT = dirname(import.meta.dirname);
/** Those with files of their own beside their code, and those that are loaded only when they are needed. */
const APART =
  /^(?:@fastify\/|@bull-board\/|@opentelemetry\/|@anthropic-ai\/|@google\/|@mistralai\/|cohere-ai|gpt-tokenizer|groq-sdk|ollama|openai|pg-native|stripe)/;

/** What a source reads or starts beside itself stays where it is. */
const inPlace: Plugin = {
  name: 'in-place',
  transform: {
    filter: { id: { exclude: /node_modules/ }, code: /import\.meta\.(?:dirname|url)/ },
    handler: (code, id) =>
      code
        .replaceAll('import.meta.dirname', JSON.stringify(dirname(id)))
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href)),
  },
};

const [dir] = process.argv.slice(2);
if (!dir) throw new Error('Usage: node test/bundle.ts DIR');
mkdirSync(dir, { recursive: true });
symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
// Else Node reads each file first to find out.
writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
const bundle = await rolldown({
  cwd: ROOT,
  platform: 'node',
  input: {
    'src/server': 'src/server.ts',
    'workers/index': 'workers/index.ts',
    'workers/control': 'workers/control.ts',
  },
  external: APART,
  plugins: [inPlace],
});
// Names are kept for what is called by the name of its class.
await bundle.write({ dir, format: 'esm', keepNames: true });
await bundle.close();
