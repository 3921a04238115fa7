import type { Reporter, TestModule } from 'vitest/node';

/**
 * What went wrong outside of any test: a file that could not be loaded, a hook that threw.
 * @param module a finished test file
 */
function brokenSuites(module: TestModule): number {
  const suites = [...module.children.allSuites()];
  return [module, ...suites].filter((part) => part.errors().length > 0).length;
}

/** Ends a run with one plain line for machines, `Tests: N passed, N failed`; nothing failed only when the run succeeded. */
export const countReporter: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const passed = tests.filter((test) => test.result().state === 'passed').length;
    const failed = tests.filter((test) => test.result().state === 'failed').length;
    const broken = modules.reduce((sum, module) => sum + brokenSuites(module), unhandledErrors.length);
    process.stdout.write(`Tests: ${passed} passed, ${failed + broken} failed\n`);
  },
};
