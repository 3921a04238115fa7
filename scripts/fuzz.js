const { fuzz } = await import('./lib/bench.js');
process.exit(await fuzz());
