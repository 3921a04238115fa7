import { createSimulator } from './server.ts';

const simulator = await createSimulator({
  host: process.env['HOST'] || '127.0.0.1',
  port: Number(process.env['SIMULATOR_PORT'] || 4010),
});

console.log(`The provider simulator listens on ${simulator.url}. Point the product at it with:

  OPENAI_BASE_URL=${simulator.url}/openai/v1 OPENAI_API_KEY=anything GROQ_BASE_URL=${simulator.url}/groq GROQ_API_KEY=anything npm start

Scripts and faults: simulator/README.md. What it saw: ${simulator.url}/__simulator/seen`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void simulator.close());
