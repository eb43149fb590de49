// SPDX-License-Identifier: Apache-2.0
import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/", "proto/gen/", "node_modules/", ".demo/", "coverage/"] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": [
        "error",
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      complexity: ["warn", 15],
      "no-console": "error",
    },
  },
  {
    files: ["**/*.js", "**/*.cjs"],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: { process: "readonly", console: "readonly", module: "writable" } },
  },
  {
    // The page shows what happens, and every one of its listeners returns nothing.
    files: ["src/page/**/*.ts"],
    rules: { "@typescript-eslint/no-confusing-void-expression": "off" },
  },
  {
    // chai's assertions are property reads, and a test may look at anything.
    files: ["test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-unused-expressions": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
  {
    // These talk to a person on a terminal.
    files: ["demo/**/*.ts", "docs/**/*.ts", "test/bench/**/*.ts", "test/soak/**/*.ts", "test/fuzz/main.ts"],
    rules: { "no-console": "off" },
  },
);
