const { bench } = await import('./lib/bench.js');
process.exit(await bench(process.argv.slice(2)));
