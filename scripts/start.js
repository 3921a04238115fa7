// Runs under whatever Node is there: it installs and then uses the project's own.
if (Number(process.versions.node.split('.')[0]) < 18) {
  console.error(`Node 18 or newer is needed to start; this is ${process.version}`);
  process.exit(1);
}
const { start } = await import('./lib/start.js');
process.exit(await start(process.argv.slice(2)));
