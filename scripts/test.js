const { test } = await import('./lib/test.js');
process.exit(await test(process.argv.slice(2)));
