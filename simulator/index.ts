import { startPhone } from './phone.ts';
import { createSimulator } from './server.ts';

const simulator = await createSimulator({
  host: process.env['HOST'] || '127.0.0.1',
  port: Number(process.env['SIMULATOR_PORT'] || 4010),
  ...(process.env['SIMULATOR_HOOKS_FILE'] ? { hooksFile: process.env['SIMULATOR_HOOKS_FILE'] } : {}),
});

const at = simulator.url;
console.log(`The provider simulator listens on ${at}. Point the product at it with as many of these as you like:

  OPENAI_API_KEY=any    OPENAI_BASE_URL=${at}/openai/v1 \\
  ANTHROPIC_API_KEY=any ANTHROPIC_BASE_URL=${at}/anthropic \\
  GOOGLE_API_KEY=any    GOOGLE_BASE_URL=${at}/google \\
  GROQ_API_KEY=any      GROQ_BASE_URL=${at}/groq \\
  MISTRAL_API_KEY=any   MISTRAL_BASE_URL=${at}/mistral \\
  COHERE_API_KEY=any    COHERE_BASE_URL=${at}/cohere \\
  TOGETHER_API_KEY=any  TOGETHER_BASE_URL=${at}/together/v1 \\
  OLLAMA_BASE_URL=${at}/ollama \\
  WHATSAPP_CLOUD_BASE_URL=${at}/whatsapp/v25.0 \\
  STRIPE_BASE_URL=${at} STRIPE_API_KEY=any STRIPE_WEBHOOK_SECRET=whsec_sim STRIPE_PRICES=starter=price_starter,pro=price_pro \\
  npm start

Webhooks are received at ${at}/hooks/<any name>, once EGRESS_ALLOW=${new URL(at).host} lets the product call it.
Scripts and faults: simulator/README.md. What it saw: ${simulator.url}/__simulator/seen`);

const { PHONE_URL: url, PHONE_TOKEN: token, PHONE_WORKSPACE: workspaceId, PHONE_CHANNEL: channelId } = process.env;
const phone = url && token && workspaceId && channelId ? startPhone({ url, token, workspaceId, channelId }) : null;
if (phone) console.log(`A phone sends what channel ${channelId} has for it.`);

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void Promise.all([simulator.close(), phone?.stop()]));
