/** Draws a tree of lines with the usual branches. Pure. */
export interface TreeNode {
  readonly text: string;
  readonly children?: readonly TreeNode[];
}

export function renderTree(nodes: readonly TreeNode[], indent = ''): string[] {
  return nodes.flatMap((node, index) => {
    const last = index === nodes.length - 1;
    return [
      `${indent}${last ? '└─ ' : '├─ '}${node.text}`,
      ...renderTree(node.children ?? [], `${indent}${last ? '   ' : '│  '}`),
    ];
  });
}
