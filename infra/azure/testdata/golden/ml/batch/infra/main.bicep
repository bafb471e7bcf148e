// Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
// Change godwit.yaml and render again rather than this file.

@description('The Azure Machine Learning workspace, which is there.')
param workspaceName string

@description('The region, which is the workspace\'s.')
param location string = 'westeurope'

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' existing = {
  name: workspaceName
}

// Nothing runs, and nothing is paid for, between jobs.
resource cluster 'Microsoft.MachineLearningServices/workspaces/computes@2025-12-01' = {
  parent: workspace
  name: 'fraud-batch'
  location: location
  properties: {
    computeType: 'AmlCompute'
    properties: {
      vmSize: 'Standard_F4s_v2'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: 1
        nodeIdleTimeBeforeScaleDown: 'PT2M'
      }
    }
  }
}

resource endpoint 'Microsoft.MachineLearningServices/workspaces/batchEndpoints@2025-12-01' = {
  parent: workspace
  name: 'fraud'
  location: location
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    authMode: 'AADToken'
  }
}

output ENDPOINT_NAME string = endpoint.name
