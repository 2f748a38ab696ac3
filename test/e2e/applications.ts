/** Applications that the end-to-end tests bring to gateways. */
import type { ArtifactFiles } from '@leonore/testkit';

/** A service that notes each start in its data folder and runs on. */
export function service(
  name: string,
  version: string,
  more: Record<string, unknown> = {},
  control: Record<string, string> = {},
): ArtifactFiles {
  return {
    manifest: { name, version, run: { restart: 'always', healthTimeoutSeconds: 10 }, ...more },
    binary: { 'version.txt': `${version}\n` },
    control: {
      start: 'echo "start $LEONORE_VERSION" >> "$LEONORE_DATA_DIR/events"\nexec sleep 1000',
      health: 'grep -q "start $LEONORE_VERSION" "$LEONORE_DATA_DIR/events"',
      ...control,
    },
  };
}

/** Something to install that nothing runs; notes each installation in its data folder. */
export function library(
  name: string,
  version: string,
  more: Record<string, unknown> = {},
  control: Record<string, string> = {},
): ArtifactFiles {
  return {
    manifest: { name, version, ...more },
    binary: { 'version.txt': `${version}\n` },
    control: { install: 'echo "install $LEONORE_VERSION" >> "$LEONORE_DATA_DIR/events"', ...control },
  };
}
